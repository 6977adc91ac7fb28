//! `berth vm kernel`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command, Flag};

static FLAGS: &[Flag] = &[
    Flag::text("modules", "Directory of the kernel's modules (default \"/lib/modules/RELEASE\")"),
    Flag::text("path", "Take this kernel, a bzImage or an ELF image at the daemon's host, instead of fetching one"),
];

/// `berth vm kernel`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS]",
    "Fetch the kernel that containers in virtual machines boot, or take one",
    Arity::None,
    |call| Box::pin(kernel(call)),
)
.with(&[FLAGS]);

async fn kernel(call: Call) -> Outcome {
    let client = call.client()?;
    let installed = client.install_guest_kernel(call.flags.text("path"), call.flags.text("modules")).await?;
    let text = |key: &str| installed[key].as_str().unwrap_or_default().to_owned();
    let modules = installed["modules"].as_array().map_or(0, Vec::len);
    crate::put!("{} from {}, with {modules} modules\n", text("name"), text("origin"))?;
    Ok(0)
}
