//! `berth logs`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::point;
use crate::terminal::write::{Target, all};
use berth_client::container::Logs;
use berth_spec::stream::{Decoder, Stream};

static FLAGS: &[Flag] = &[
    Flag::switch("details", "Show extra details provided to logs"),
    Flag::switch("follow", "Follow log output").short('f'),
    Flag::text(
        "since",
        "Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)",
    ),
    Flag::text("tail", "Number of lines to show from the end of the logs").short('n').default("all"),
    Flag::switch("timestamps", "Show timestamps").short('t'),
    Flag::text(
        "until",
        "Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)",
    ),
];

/// `berth logs`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] CONTAINER", "Fetch the logs of a container", Arity::Exactly(1), |call| {
        Box::pin(logs(call))
    })
    .with(&[FLAGS])
    .at(&["container logs", "logs"]);

async fn logs(call: Call) -> Outcome {
    let (client, flags, name) = (call.client()?, &call.flags, call.args[0].as_str());
    let wanted = Logs {
        follow: flags.on("follow"),
        since: point::unix_of(flags.text("since"), "since")?,
        until: point::unix_of(flags.text("until"), "until")?,
        timestamps: flags.on("timestamps"),
        details: flags.on("details"),
        tail: flags.text("tail").to_owned(),
    };
    let brief = client.brief(name).await?;
    let mut stream = client.logs(&brief.id, &wanted).await?;
    let mut decoder = Decoder::default();
    while let Some(bytes) = stream.next().await? {
        if brief.config.tty {
            all(Target::Out, bytes).await?;
            continue;
        }
        decoder.push(&bytes);
        while let Some((stream, bytes)) = decoder.next_frame().map_err(std::io::Error::other)? {
            let target = if stream == Stream::Stderr { Target::Error } else { Target::Out };
            all(target, bytes).await?;
        }
    }
    Ok(0)
}
