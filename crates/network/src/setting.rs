//! The kernel's settings that networks need: set when the first one does, and put back when the engine changed them and
//! nothing needs them any more.

use berth_record::Durability;

use crate::{
    Result,
    networks::Shared,
    record::{self, NetworkRecord},
    sysctl,
};

const FORWARDING: &str = "net/ipv4/ip_forward";
const FORWARDING6: &str = "net/ipv6/conf/all/forwarding";
/// Where links of the host say whether they listen to routers.
const LINKS6: &str = "/proc/sys/net/ipv6/conf";
/// In front of a setting's name among the records.
const PREFIX: &str = "sysctl:";

/// What a setting that is off means, and the command that mends it.
fn remedy(name: &str) -> String {
    format!("containers cannot reach the network: run `sysctl -w {}=1`", name.replace('/', "."))
}

impl Shared {
    /// Turns forwarding on for the network's families, and remembers what it was.
    pub fn forward(&self, network: &NetworkRecord) {
        if network.subnet.is_some() {
            self.forward_family("forwarding", "IPv4", FORWARDING);
        }
        if network.subnet6.is_some() {
            if self.config.ip_forward && sysctl::read(FORWARDING6).is_ok_and(|value| value == "0") {
                self.keep_listening_to_routers();
            }
            self.forward_family("forwarding6", "IPv6", FORWARDING6);
        }
    }

    fn forward_family(&self, about: &'static str, family: &str, name: &str) {
        let remedy = remedy(name);
        if !self.config.ip_forward {
            if sysctl::read(name).is_ok_and(|value| value == "0") {
                self.warn(about, format!("WARNING: {family} forwarding is disabled: {remedy}"));
            }
            return;
        }
        if let Err(error) = self.set(name, "1") {
            self.warn(about, format!("WARNING: {family} forwarding is disabled: {remedy} ({error})"));
        }
    }

    /// Says what will hinder packets of the network's containers, as far as that is known before the first one starts.
    pub fn foresee(&self, network: &NetworkRecord) {
        if network.driver != "bridge" || network.internal {
            return;
        }
        for (is_meant, about, family, name) in [
            (network.subnet.is_some(), "forwarding", "IPv4", FORWARDING),
            (network.subnet6.is_some(), "forwarding6", "IPv6", FORWARDING6),
        ] {
            if is_meant
                && sysctl::read(name).is_ok_and(|value| value == "0")
                && !(self.config.ip_forward && sysctl::is_writable(name))
            {
                let sentence = format!("WARNING: {family} forwarding is disabled: {}", remedy(name));
                self.warn(about, sentence);
            }
        }
    }

    /// A host that forwards IPv6 no longer takes its own routes from routers, unless its links say so with 2.
    fn keep_listening_to_routers(&self) {
        let links = std::fs::read_dir(LINKS6).into_iter().flatten().filter_map(std::result::Result::ok);
        for link in links {
            let Ok(name) = link.file_name().into_string() else { continue };
            let setting = format!("net/ipv6/conf/{name}/accept_ra");
            let listens = sysctl::read(&setting).is_ok_and(|value| value == "1");
            if listens
                && name != "all"
                && name != "default"
                && let Err(error) = self.set(&setting, "2")
            {
                tracing::warn!(%error, link = name, "the host may lose the IPv6 routes that routers tell it");
            }
        }
    }

    /// Changes a setting; its first former value is kept.
    fn set(&self, name: &str, value: &str) -> Result<()> {
        let Some(former) = sysctl::write(name, value)? else { return Ok(()) };
        let key = format!("{PREFIX}{name}");
        let kept = match self.store.get::<String>(record::SETTINGS, &key) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => self.store.put(record::SETTINGS, &key, &former, &former, Durability::Crash),
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            tracing::warn!(%error, setting = name, "the former value of a setting is not kept");
        }
        Ok(())
    }

    /// Puts back what the engine changed, where it is still as the engine left it.
    ///
    /// # Errors
    /// The first failure; the rest is tried all the same.
    pub fn restore_settings(&self) -> Result<()> {
        let (kept, _) = self.store.summaries::<serde_json::Value>(record::SETTINGS)?;
        let mut outcome = Ok(());
        for (key, former) in kept {
            let (Some(name), Some(former)) = (key.strip_prefix(PREFIX), former.as_str()) else { continue };
            let ours = if name.ends_with("accept_ra") { "2" } else { "1" };
            // A link may be gone, and somebody else may have set the value since.
            if sysctl::read(name).is_ok_and(|value| value == ours) {
                outcome = outcome.and(sysctl::write(name, former).map(drop));
            }
            self.store.delete(record::SETTINGS, &key, Durability::Crash)?;
        }
        outcome
    }
}
