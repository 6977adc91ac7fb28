//! Which device nodes a container may use: the default list as data, and the rules reduced to what both kernels'
//! interfaces take, a default and exceptions from it.

use std::fmt;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType};
use serde::Deserialize;

/// What every container gets: `data/devices.json`.
const DEFAULTS: &str = include_str!("../../data/devices.json");

/// Block or character device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// `b`.
    Block,
    /// `c`.
    Character,
}

/// Read, write, and mknod, as bits of `BPF_DEVCG_ACC_*` (mknod 1, read 2, write 4).
pub const MKNOD: u8 = 1;
/// Opening for reading.
pub const READ: u8 = 2;
/// Opening for writing.
pub const WRITE: u8 = 4;

/// One exception from the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Block or character; `None` is both.
    pub class: Option<Class>,
    /// Major number; `None` is any.
    pub major: Option<u32>,
    /// Minor number; `None` is any.
    pub minor: Option<u32>,
    /// [`MKNOD`], [`READ`], [`WRITE`].
    pub access: u8,
}

/// Rules in the order of the specification, reduced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// What holds for a device that no exception names.
    pub default_allow: bool,
    /// Devices for which the opposite holds.
    pub exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct DefaultRule {
    #[serde(rename = "type")]
    class: Class,
    major: Option<u32>,
    minor: Option<u32>,
    access: String,
}

/// The rules that every container starts from, in Docker's form: deny everything, then allow the harmless ones.
pub fn defaults() -> Vec<LinuxDeviceCgroup> {
    let deny_all = rule(false, LinuxDeviceType::A, None, None, "rwm");
    let allowed = default_rules().into_iter().map(|rule_| {
        let class = if rule_.class == Class::Block { LinuxDeviceType::B } else { LinuxDeviceType::C };
        rule(true, class, rule_.major, rule_.minor, &rule_.access)
    });
    std::iter::once(deny_all).chain(allowed).collect()
}

/// The one rule of a privileged container.
pub fn everything() -> Vec<LinuxDeviceCgroup> {
    vec![rule(true, LinuxDeviceType::A, None, None, "rwm")]
}

fn default_rules() -> Vec<DefaultRule> {
    serde_json::from_str(DEFAULTS).expect("data/devices.json is checked by a test")
}

fn rule(
    allow: bool,
    class: LinuxDeviceType,
    major: Option<u32>,
    minor: Option<u32>,
    access: &str,
) -> LinuxDeviceCgroup {
    let mut builder = LinuxDeviceCgroupBuilder::default().allow(allow).typ(class).access(access);
    if let Some(major) = major {
        builder = builder.major(i64::from(major));
    }
    if let Some(minor) = minor {
        builder = builder.minor(i64::from(minor));
    }
    builder.build().expect("every field has a value or a default")
}

impl Rules {
    /// The rules of a container: nothing is allowed to begin with, then `rules` in order, then the default list,
    /// which a container always has.
    pub fn of_container(rules: &[LinuxDeviceCgroup]) -> Self {
        let mut reduced = Rules { default_allow: false, exceptions: Vec::new() };
        for rule in rules {
            reduced.apply(rule.allow(), &Exception::from_rule(rule));
        }
        if !reduced.default_allow {
            for rule in default_rules() {
                let access = access_bits(&rule.access);
                let exception = Exception { class: Some(rule.class), major: rule.major, minor: rule.minor, access };
                reduced.apply(true, &exception);
            }
        }
        reduced
    }

    /// No restriction at all.
    pub fn allows_everything(&self) -> bool {
        self.default_allow && self.exceptions.is_empty()
    }

    /// As the kernel's v1 controller does: a rule against the default is an exception, one for it takes back
    /// exceptions of the very same device.
    fn apply(&mut self, allow: bool, rule: &Exception) {
        if rule.class.is_none() && rule.major.is_none() && rule.minor.is_none() && rule.access == MKNOD | READ | WRITE {
            *self = Rules { default_allow: allow, exceptions: Vec::new() };
            return;
        }
        for rule in rule.by_class() {
            let same = |e: &&mut Exception| (e.class, e.major, e.minor) == (rule.class, rule.major, rule.minor);
            let present = self.exceptions.iter_mut().find(same);
            match present {
                Some(exception) if allow == self.default_allow => exception.access &= !rule.access,
                Some(exception) => exception.access |= rule.access,
                None if allow == self.default_allow => {}
                None => self.exceptions.push(rule),
            }
        }
        self.exceptions.retain(|exception| exception.access != 0);
    }
}

impl Exception {
    fn from_rule(rule: &LinuxDeviceCgroup) -> Self {
        let class = match rule.typ() {
            Some(LinuxDeviceType::B) => Some(Class::Block),
            Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(Class::Character),
            _ => None,
        };
        // -1 is a wildcard in older configurations.
        let number = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok());
        let access = rule.access().as_deref().filter(|access| !access.is_empty()).unwrap_or("rwm");
        Exception { class, major: number(rule.major()), minor: number(rule.minor()), access: access_bits(access) }
    }

    /// v1 has no line for "block and character, but only this number": two lines.
    fn by_class(&self) -> Vec<Exception> {
        match self.class {
            Some(_) => vec![self.clone()],
            None => [Class::Block, Class::Character].map(|c| Exception { class: Some(c), ..self.clone() }).to_vec(),
        }
    }
}

fn access_bits(access: &str) -> u8 {
    access.chars().fold(0, |bits, c| {
        bits | match c {
            'm' => MKNOD,
            'r' => READ,
            'w' => WRITE,
            _ => 0,
        }
    })
}

/// The line of `devices.allow` and `devices.deny`: `c 1:3 rwm`, with `*` for any number.
impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match self.class {
            Some(Class::Block) => 'b',
            Some(Class::Character) => 'c',
            None => 'a',
        };
        let number = |n: Option<u32>| n.map_or("*".to_owned(), |n| n.to_string());
        write!(f, "{class} {}:{} ", number(self.major), number(self.minor))?;
        [(READ, "r"), (WRITE, "w"), (MKNOD, "m")]
            .iter()
            .filter(|(bit, _)| self.access & bit != 0)
            .try_for_each(|(_, letter)| f.write_str(letter))
    }
}
