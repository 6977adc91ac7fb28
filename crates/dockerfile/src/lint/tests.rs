//! For each check a file that it finds, at its place, and one that it leaves alone.

use super::*;
use berth_spec::platform::Platform;

fn findings(text: &str, ignore: &str) -> Vec<String> {
    let file = crate::parse(text).unwrap_or_else(|faults| panic!("{}", faults[0].render("Dockerfile", text)));
    let platform = Platform::parse("linux/amd64").expect("a platform");
    let platforms = Platforms { build: platform.clone(), target: platform };
    let ignore = Ignore::parse(ignore.as_bytes()).expect("the patterns are valid");
    let base_env = |image: &str| (image != "unknown").then(|| vec!["HOME=/root".to_owned()]);
    let around = Surroundings {
        build_args: &BTreeMap::new(),
        platforms: &platforms,
        target: "",
        ignore: Some(&ignore),
        base_env: &base_env,
        check: None,
    };
    let show = |finding: &Diagnostic| {
        let start = finding.span.start;
        format!("{}:{}:{}", finding.rule.unwrap_or("?"), start.line, start.column)
    };
    check(&file, &around).iter().map(show).collect()
}

#[test]
fn each_check_finds_its_own() {
    let cases: &[(&str, &[&str])] = &[
        ("FROM a AS Base\n", &["StageNameCasing:1:11"]),
        ("FROM a as b\n", &["FromAsCasing:1:8"]),
        ("from a AS b\n", &["FromAsCasing:1:8"]),
        ("FROM a\nRUN x && \\\n\n  y\n", &["NoEmptyContinuation:3:1"]),
        ("FROM a\nRUN x\nrun y\n", &["ConsistentInstructionCasing:3:1"]),
        ("from a\nrun x\nEntryPoint [\"y\"]\n", &["ConsistentInstructionCasing:3:1"]),
        ("FROM a AS x\nFROM b AS x\n", &["DuplicateStageName:2:11"]),
        ("FROM a AS scratch\n", &["ReservedStageName:1:11"]),
        ("FROM a\nCMD run it\n", &["JSONArgsRecommended:2:1"]),
        ("FROM a\nENTRYPOINT run it\n", &["JSONArgsRecommended:2:1"]),
        ("FROM a\nSHELL [\"/bin/bash\", \"-c\"]\nCMD run it\n", &[]),
        ("FROM a\nMAINTAINER me\n", &["MaintainerDeprecated:2:1"]),
        ("ARG VERSION=1\nFROM a:$VERSOIN\n", &["UndefinedArgInFrom:2:6", "InvalidDefaultArgInFrom:2:6"]),
        ("FROM a\nWORKDIR app\nWORKDIR more\n", &["WorkdirRelativePath:2:9"]),
        ("FROM a AS b\nWORKDIR /app\nFROM b\nWORKDIR more\n", &[]),
        ("FROM a\nCOPY $nope /x\n", &["UndefinedVar:2:6"]),
        ("FROM a\nARG nope\nCOPY $nope /x\nENV P=$PATH:$HOME L=/x:$L\n", &[]),
        ("FROM unknown\nCOPY $FROM_IMAGE /x\n", &[]),
        ("FROM a\nENV P=${Q:-none}\n", &[]),
        ("FROM a\nCMD [\"x\"]\nCMD [\"y\"]\n", &["MultipleInstructionsDisallowed:2:1"]),
        ("FROM a\nHEALTHCHECK NONE\nHEALTHCHECK CMD x\n", &["MultipleInstructionsDisallowed:2:1"]),
        ("FROM a\nENV key value\n", &["LegacyKeyValueFormat:2:1", "SecretsUsedInArgOrEnv:2:5"]),
        ("FROM --platform=$TARGETPLATFORM a\n", &["RedundantTargetPlatform:1:6"]),
        ("FROM a\nARG AWS_SECRET_ACCESS_KEY\nENV PUBLIC_KEY=1 MONKEY=2\n", &["SecretsUsedInArgOrEnv:2:5"]),
        ("ARG TAG\nFROM a:${TAG}\n", &["UndefinedArgInFrom:2:6", "InvalidDefaultArgInFrom:2:6"]),
        ("ARG TAG=1\nFROM a:${TAG}\n", &[]),
        ("FROM --platform=linux/arm64 a\n", &["FromPlatformFlagConstDisallowed:1:6"]),
        ("FROM --platform=linux/arm64 a AS build-arm64\n", &[]),
        ("FROM a\nCOPY secret/key ./x . \nCOPY --from=b secret /\n", &["CopyIgnoredFile:2:6"]),
        ("FROM a\nEXPOSE 80/TCP 81/udp\n", &["ExposeProtoCasing:2:8"]),
        ("FROM a\nEXPOSE 127.0.0.1:80:80\n", &["ExposeInvalidFormat:2:8"]),
        ("# check=skip=JSONArgsRecommended,StageNameCasing\nFROM a AS B\nCMD x\n", &[]),
        ("# check=skip=all\nFROM a AS B\nCMD x\n", &[]),
        ("FROM a\n\n# says nothing\nFROM b AS c\n", &[]),
        (
            "# check=experimental=all\n\n# what for\nARG V=1\n# c is it\nFROM a AS c\n# no\nFROM b AS d\n",
            &["InvalidDefinitionDescription:4:1", "InvalidDefinitionDescription:8:1"],
        ),
    ];
    for (text, wanted) in cases {
        assert_eq!(findings(text, "secret\n"), *wanted, "{text}");
    }
}

#[test]
fn the_documented_checks_are_all_here() {
    assert_eq!(RULES.len(), 22);
    for rule in RULES {
        let dashed: String = rule.page.split('-').collect();
        assert_eq!(dashed, rule.name.to_ascii_lowercase());
    }
}

#[test]
fn a_foreign_base_is_found_when_it_is_known() {
    let file = crate::parse("FROM a\n").expect("valid");
    let found = base_platform(&file.stages[0].from, "linux/arm64", "linux/amd64").expect("they differ");
    assert_eq!(found.rule, Some("InvalidBaseImagePlatform"));
    assert!(base_platform(&file.stages[0].from, "linux/amd64", "linux/amd64").is_none());
}
