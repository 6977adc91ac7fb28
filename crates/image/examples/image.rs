//! Images without a daemon, for measurements: `image ROOT import NAME TAR | load TAR | save TAR NAME… | list`.

use std::{io::Write, path::Path, sync::Arc, time::Instant};

use berth_image::{Images, ImportRequest, ListRequest};
use berth_snapshot::overlay::Overlay;
use futures_util::StreamExt;

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [root, arguments @ ..] = &arguments[..] else { return Err("usage: image ROOT COMMAND …".into()) };
    let root = Path::new(root);
    std::fs::create_dir_all(root)?;
    let images = Images::open(
        berth_record::Store::open(&root.join("berth.db"))?,
        Arc::new(Overlay::open(&root.join("snapshot"))?),
        berth_content::Store::open(&root.join("content"))?,
        berth_event::Bus::default(),
    )?;
    let begin = Instant::now();
    match arguments {
        ["import", name, tar] => {
            let request = ImportRequest { repository: (*name).to_owned(), ..ImportRequest::default() };
            println!("{}", images.import(request, body(tar)?, None).await?);
        }
        ["load", tar] => println!("{:?}", images.load(body(tar)?, None).await?),
        ["save", tar, names @ ..] => {
            let mut file = std::fs::File::create(tar)?;
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut stream = images.save(&names).await?;
            while let Some(piece) = stream.next().await {
                file.write_all(&piece?)?;
            }
        }
        ["list"] => {
            for image in images.list(&ListRequest::default()).await? {
                println!("{} {:?} {}", image.id, image.repo_tags, image.size);
            }
        }
        _ => return Err("usage: image ROOT import NAME TAR | load TAR | save TAR NAME… | list".into()),
    }
    eprintln!("{:.3} s", begin.elapsed().as_secs_f64());
    Ok(())
}

fn body(tar: &str) -> Result<berth_image::ByteStream, std::io::Error> {
    use std::io::Read;
    let file = std::fs::File::open(tar)?;
    let next = |mut file: std::fs::File| async move {
        let mut piece = vec![0; 128 * 1024];
        match file.read(&mut piece) {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                Some((Ok(bytes::Bytes::from(piece)), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    };
    Ok(futures_util::stream::unfold(file, next).boxed())
}
