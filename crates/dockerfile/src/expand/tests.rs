//! The modifiers and quotes of the reference, and words made to hurt.

use super::*;

fn env(name: &str) -> Option<String> {
    let value = match name {
        "foo" => "/bar/baz",
        "empty" => "",
        "v" => "v1.2.3-rc.1",
        "list" => "80 443/tcp",
        "path" => "a/b/c/d.tar.gz",
        "big" => return Some("x".repeat(300_000)),
        _ => return None,
    };
    Some(value.to_owned())
}

#[test]
fn words_become_values() {
    let cases = [
        ("plain", "plain"),
        ("$foo", "/bar/baz"),
        ("${foo}x", "/bar/bazx"),
        ("$unset-", "-"),
        (r"\$foo", "$foo"),
        (r"\${foo}", "${foo}"),
        ("'$foo'", "$foo"),
        ("\"$foo\"", "/bar/baz"),
        (r#""\"a\" \b \\""#, r#""a" \b \"#),
        (r"a\ b", "a b"),
        ("${unset:-d}", "d"),
        ("${empty:-d}", "d"),
        ("${empty-d}", ""),
        ("${unset-d}", "d"),
        ("${foo:+yes}", "yes"),
        ("${empty:+yes}", ""),
        ("${empty+yes}", "yes"),
        ("${unset+yes}", ""),
        ("${foo:?needed}", "/bar/baz"),
        ("${unset:-${foo:+in$empty}}", "in"),
        ("${v#v}", "1.2.3-rc.1"),
        ("${v#*.}", "2.3-rc.1"),
        ("${v##*.}", "1"),
        ("${v%.*}", "v1.2.3-rc"),
        ("${v%%.*}", "v1"),
        ("${v%%-*}", "v1.2.3"),
        ("${v#?}", "1.2.3-rc.1"),
        ("${v#no}", "v1.2.3-rc.1"),
        ("${v/./_}", "v1_2.3-rc.1"),
        ("${v//./_}", "v1_2_3-rc_1"),
        (r"${path//\//-}", "a-b-c-d.tar.gz"),
        ("${path/a*c/X}", "X/d.tar.gz"),
        ("${v//./}", "v123-rc1"),
        ("${unset/a/b}", ""),
        ("$", "$"),
        ("a$", "a$"),
        ("$1x", "x"),
        ("caf\u{e9} ${foo}", "caf\u{e9} /bar/baz"),
    ];
    for (text, value) in cases {
        assert_eq!(word(text, '\\', &env).map(|expanded| expanded.value), Ok(value.to_owned()), "{text}");
    }
    assert_eq!(word(r"C:\x\$foo `$foo", '`', &env).expect("a backtick escapes").value, r"C:\x\/bar/baz $foo");
}

#[test]
fn mistakes_are_named() {
    let cases = [
        ("'a", "unexpected end of statement while looking for matching single-quote"),
        ("\"a", "unexpected end of statement while looking for matching double-quote"),
        ("${a", "unexpected end of statement while looking for matching }"),
        ("${a:-b", "unexpected end of statement while looking for matching }"),
        ("${}", "syntax error: bad substitution"),
        ("${:x}", "syntax error: bad substitution"),
        ("${foo@Q}", "unsupported modifier (@) in substitution"),
        ("${foo:=x}", "unsupported modifier (:=) in substitution"),
        ("${foo:#x}", "unsupported modifier (:#) in substitution"),
        ("${unset?}", "unset: is not allowed to be unset"),
        ("${empty:?}", "empty: is not allowed to be empty"),
        ("${unset:?say so}", "unset: say so"),
        ("${foo/a}", "unexpected end of statement while looking for matching /"),
    ];
    for (text, message) in cases {
        assert_eq!(word(text, '\\', &env).expect_err(text).to_string(), message, "{text}");
    }
}

#[test]
fn words_split_outside_of_quotes_only() {
    let split = |text: &str| words(text, '\\', &env).expect("it expands");
    assert_eq!(split("$list 1"), ["80", "443/tcp", "1"]);
    assert_eq!(split("\"$list\" '' a\\ b"), ["80 443/tcp", "", "a b"]);
    assert_eq!(split("${unset:-1 2}x"), ["1", "2x"]);
    assert!(split("$unset $empty").is_empty());
}

#[test]
fn heredocs_keep_their_quotes() {
    let expanded = raw("'$v' \"${foo}\" \\$v\n$nope", &env).expect("it expands");
    assert_eq!(expanded.value, "'v1.2.3-rc.1' \"/bar/baz\" $v\n");
    assert_eq!(expanded.unmatched, ["nope"]);
}

#[test]
fn unmatched_are_those_that_were_missed() {
    let expanded = word("$a ${b:-$c} ${foo:-$d} $a", '\\', &env).expect("it expands");
    assert_eq!(expanded.unmatched, ["a", "c"]);
    assert_eq!(expanded.matched, ["foo"]);
}

#[test]
fn hostile_words_end_soon() {
    let deep = format!("{}x{}", "${a:-".repeat(10_000), "}".repeat(10_000));
    assert_eq!(word(&deep, '\\', &env), Err(Error::Limit("nests too deep")));
    assert_eq!(word("$big$big$big$big", '\\', &env), Err(Error::Limit("grows too large")));
    assert_eq!(word("\"$big$big$big$big\"", '\\', &env), Err(Error::Limit("grows too large")));
    assert_eq!(word("${big//*a*a*/b}", '\\', &env), Err(Error::Limit("compares too much")));
    let stars = "*a".repeat(2_000);
    assert_eq!(word(&format!("${{big#{stars}}}"), '\\', &env), Err(Error::Limit("compares too much")));
}
