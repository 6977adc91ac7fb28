//! `--cap-add` and `--cap-drop`, brought to one form.

use std::collections::BTreeSet;

const ALL: &str = "ALL";

/// What is added and what is dropped, sorted, each named `CAP_...` or `ALL`; what is added is not dropped.
#[must_use]
pub fn effective<'a>(
    add: impl Iterator<Item = &'a str>,
    drop: impl Iterator<Item = &'a str>,
) -> (Vec<String>, Vec<String>) {
    let add: BTreeSet<_> = add.map(full_name).collect();
    let drop: BTreeSet<_> = drop.map(full_name).collect();
    let whole = |set: BTreeSet<String>| match set.contains(ALL) {
        true => BTreeSet::from([ALL.to_owned()]),
        false => set,
    };
    let (add, drop) = (whole(add), whole(drop));
    let dropped = drop.difference(&add).cloned().collect();
    (add.into_iter().collect(), dropped)
}

fn full_name(text: &str) -> String {
    let upper = text.trim().to_ascii_uppercase();
    if upper == ALL || upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form() {
        let (add, drop) = effective(["net_admin", "CAP_SYS_TIME"].into_iter(), ["all", "chown"].into_iter());
        assert_eq!(add, ["CAP_NET_ADMIN", "CAP_SYS_TIME"]);
        assert_eq!(drop, ["ALL"]);
        let (_, drop) = effective(["chown"].into_iter(), ["chown", "kill"].into_iter());
        assert_eq!(drop, ["CAP_KILL"]);
    }
}
