//! Databases of packages, as dpkg (deb-control(5), dpkg(1)) and apk (apk-package(5)) keep them.

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub architecture: String,
    /// `deb`, `apk`.
    pub kind: &'static str,
    pub supplier: String,
    pub license: String,
    /// The source package it was built from, where it has another name.
    pub source: String,
}

/// Packages of one database.
const PACKAGES_MAX: usize = 100_000;
/// Characters of one field.
const FIELD_MAX: usize = 1024;

fn field(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(FIELD_MAX).collect()
}

/// Installed packages of a dpkg status file.
pub fn dpkg(text: &str) -> Vec<Package> {
    let mut found = Vec::new();
    for paragraph in text.split("\n\n").take(PACKAGES_MAX) {
        let mut package = Package { kind: "deb", ..Package::default() };
        let mut installed = true;
        for line in paragraph.lines().filter(|line| !line.starts_with([' ', '\t'])) {
            let Some((key, value)) = line.split_once(':') else { continue };
            match key {
                "Package" => package.name = field(value),
                "Version" => package.version = field(value),
                "Architecture" => package.architecture = field(value),
                "Maintainer" => package.supplier = field(value),
                "Source" => package.source = field(value.split('(').next().unwrap_or_default()),
                "Status" => installed = value.split_whitespace().next_back() == Some("installed"),
                _ => {}
            }
        }
        if installed && !package.name.is_empty() && !package.version.is_empty() {
            found.push(package);
        }
    }
    found
}

/// Installed packages of an apk database.
pub fn apk(text: &str) -> Vec<Package> {
    let mut found = Vec::new();
    for paragraph in text.split("\n\n").take(PACKAGES_MAX) {
        let mut package = Package { kind: "apk", ..Package::default() };
        for line in paragraph.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            match key {
                "P" => package.name = field(value),
                "V" => package.version = field(value),
                "A" => package.architecture = field(value),
                "m" => package.supplier = field(value),
                "L" => package.license = field(value),
                "o" => package.source = field(value),
                _ => {}
            }
        }
        if !package.name.is_empty() && !package.version.is_empty() {
            found.push(package);
        }
    }
    found
}

/// What `/etc/os-release` says: its id and its version.
pub fn distribution(text: &str) -> (String, String) {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        field(line.unwrap_or_default().trim().trim_matches(['"', '\'']))
    };
    (value("ID"), value("VERSION_ID"))
}

impl Package {
    /// As a package URL (package-url specification).
    pub fn purl(&self, (id, version): &(String, String)) -> String {
        let namespace = match (self.kind, id.as_str()) {
            ("deb", "") => "debian",
            ("apk", "") => "alpine",
            (_, id) => id,
        };
        let mut purl =
            format!("pkg:{}/{}/{}@{}", self.kind, encode(namespace), encode(&self.name), encode(&self.version));
        let mut joint = '?';
        let mut add = |key: &str, value: &str| {
            if !value.is_empty() {
                purl.push_str(&format!("{joint}{key}={}", encode(value)));
                joint = '&';
            }
        };
        add("arch", &self.architecture);
        if !version.is_empty() {
            add("distro", &format!("{namespace}-{version}"));
        }
        if self.source != self.name {
            add("upstream", &self.source);
        }
        purl
    }
}

fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_read() {
        let text = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc (2.36)\nVersion: 2.36-9+deb12u1\n Description\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n";
        let found = dpkg(text);
        assert_eq!(found.len(), 1);
        let debian = ("debian".to_owned(), "12".to_owned());
        assert_eq!(
            found[0].purl(&debian),
            "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64&distro=debian-12&upstream=glibc"
        );
        let found = apk("C:Q1x\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\no:musl\nm:A B <a@b>\n\nF:lib\n");
        assert_eq!((found.len(), found[0].license.as_str()), (1, "MIT"));
        assert_eq!(found[0].purl(&(String::new(), String::new())), "pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64");
        assert_eq!(distribution("NAME=x\nID=debian\nVERSION_ID=\"12\"\n"), debian);
    }

    #[test]
    fn hostile_databases_do_no_harm() {
        assert!(dpkg("Package\n\n:\n\nVersion: 1\n\n\u{0}\n").is_empty());
        assert!(apk(&":".repeat(100_000)).is_empty());
        assert_eq!(dpkg(&format!("Package: {}\nVersion: 1\n", "x".repeat(1 << 20)))[0].name.len(), FIELD_MAX);
    }
}
