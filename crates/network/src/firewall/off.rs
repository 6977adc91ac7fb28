//! No packet rules at all: somebody else writes them, or nobody.

use super::{BridgeRules, Desired, Firewall, PortRule};
use crate::{Result, netlink::Socket};

/// Installs nothing, and says that all is well.
#[derive(Debug, Clone, Copy, Default)]
pub struct Off;

impl Firewall for Off {
    fn name(&self) -> &'static str {
        "none"
    }

    fn install(&self, _: &Desired) -> Result<()> {
        Ok(())
    }

    fn open_bridge(&self, _: &BridgeRules) -> Result<()> {
        Ok(())
    }

    fn close_bridge(&self, _: &BridgeRules) -> Result<()> {
        Ok(())
    }

    fn publish(&self, _: &[PortRule]) -> Result<()> {
        Ok(())
    }

    fn withdraw(&self, _: &[PortRule]) -> Result<()> {
        Ok(())
    }

    fn is_installed(&self) -> Result<bool> {
        Ok(true)
    }

    fn listen(&self) -> Result<Option<Socket>> {
        Ok(None)
    }

    fn concerns(&self, _: &[u8]) -> bool {
        false
    }

    fn clear(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn keeps_the_contract() {
        super::super::contract::run(&super::Off);
    }
}
