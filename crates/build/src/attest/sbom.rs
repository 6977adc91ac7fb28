//! The packages of an image as an SPDX document (SPDX specification 2.3).

use std::io::Read;

use berth_image::Predicate;
use serde_json::{Value, json};

use super::{
    Made,
    package::{self, Package},
};
use crate::{
    Error, Result,
    tree::{self, Tree},
};

/// The kind of the predicate.
const KIND: &str = "https://spdx.dev/Document";
/// The longest database that is read, in bytes.
const DATABASE_MAX: u64 = 256 << 20;
/// Folder of databases of images without a package manager, a file for each package.
const STATUS_FOLDER: &str = "var/lib/dpkg/status.d";

/// Looks at the files of an image.
pub fn predicate(made: &Made<'_>, files: &Tree) -> Result<Predicate> {
    let release = ["etc/os-release", "usr/lib/os-release"].iter().find_map(|path| read(files, path).transpose());
    let distribution = package::distribution(&release.transpose()?.unwrap_or_default());
    let packages: Vec<Value> =
        packages(files)?.iter().enumerate().map(|(number, package)| describe(number, package, &distribution)).collect();
    let name = made.request.tags.first().cloned().unwrap_or_else(|| made.id.to_string());
    let mut relationships = vec![json!({
        "spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-image",
    })];
    relationships.extend(packages.iter().map(|package| {
        json!({ "spdxElementId": "SPDXRef-image", "relationshipType": "CONTAINS", "relatedSpdxElement": package["SPDXID"] })
    }));
    let mut all = vec![json!({
        "SPDXID": "SPDXRef-image", "name": name, "downloadLocation": "NOASSERTION", "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{ "algorithm": "SHA256", "checksumValue": made.id.hex() }],
    })];
    all.extend(packages);
    let body = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": format!("https://spdx.org/spdxdocs/berth-{}", made.id.hex()),
        "creationInfo": {
            "created": made.finished.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "creators": [concat!("Tool: berth-", env!("CARGO_PKG_VERSION"))],
        },
        "packages": all,
        "relationships": relationships,
    });
    Ok(Predicate { kind: KIND.to_owned(), body })
}

/// All packages that some database names, in order.
fn packages(files: &Tree) -> Result<Vec<Package>> {
    let mut found = Vec::new();
    if let Some(text) = read(files, "var/lib/dpkg/status")? {
        found.extend(package::dpkg(&text));
    }
    if let Ok(folder) = tree::open_directory(files.root(), STATUS_FOLDER) {
        let names = tree::names(std::os::fd::AsFd::as_fd(&folder)).map_err(Error::call("read", STATUS_FOLDER))?;
        for name in names.iter().filter_map(|name| std::str::from_utf8(name).ok()) {
            if let Some(text) = read(files, &format!("{STATUS_FOLDER}/{name}"))?.filter(|_| !name.ends_with(".md5sums"))
            {
                found.extend(package::dpkg(&text));
            }
        }
    }
    for path in ["lib/apk/db/installed", "usr/lib/apk/db/installed"] {
        if let Some(text) = read(files, path)? {
            found.extend(package::apk(&text));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn read(files: &Tree, path: &str) -> Result<Option<String>> {
    let Ok(file) = tree::open_file(files.root(), path) else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(DATABASE_MAX).read_to_end(&mut bytes).map_err(Error::file("read", path))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn describe(number: usize, package: &Package, distribution: &(String, String)) -> Value {
    let or_none = |text: &str| if text.is_empty() { "NOASSERTION".to_owned() } else { text.to_owned() };
    let plain: String =
        package.name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let supplier = match package.supplier.as_str() {
        "" => "NOASSERTION".to_owned(),
        name => format!("Organization: {name}"),
    };
    // A license expression that was not checked is a comment, not a declaration.
    let mut value = json!({
        "SPDXID": format!("SPDXRef-Package-{}-{number}-{plain}", package.kind),
        "name": package.name,
        "versionInfo": package.version,
        "supplier": supplier,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "sourceInfo": format!("installed according to the {} database", package.kind),
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
            "referenceLocator": package.purl(distribution),
        }],
    });
    if !package.license.is_empty() {
        value["licenseComments"] = or_none(&package.license).into();
    }
    value
}
