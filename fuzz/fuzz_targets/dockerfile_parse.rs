//! Any text as a Dockerfile: no panic, no endless loop; every place shown, every check run, every word expanded.
#![no_main]

use std::collections::BTreeMap;

use berth_dockerfile::lint::{self, Surroundings};
use berth_dockerfile::{Command, Ignore, Scope, scope::Globals, scope::Platforms};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(text) = berth_dockerfile::decode(input) else { return };
    let file = match berth_dockerfile::parse(&text) {
        Ok(file) => file,
        Err(faults) => {
            assert!(!faults.is_empty());
            faults.iter().for_each(|fault| assert!(!fault.render("Dockerfile", &text).is_empty()));
            return;
        }
    };
    let host = berth_spec::Platform::host();
    let platforms = Platforms { build: host.clone(), target: host };
    let around = Surroundings {
        build_args: &BTreeMap::new(),
        platforms: &platforms,
        target: "",
        ignore: Some(&Ignore::default()),
        base_env: &|_| Some(Vec::new()),
        check: None,
    };
    for finding in lint::check(&file, &around) {
        assert!(!finding.render("Dockerfile", &text).is_empty());
    }
    let Ok(globals) = Globals::new(&file, &BTreeMap::new(), &platforms, "") else { return };
    for stage in &file.stages {
        let scope = Scope::stage(&globals, &[]);
        for instruction in &stage.instructions {
            match &instruction.command {
                Command::Run(run) => {
                    let _ = run.script();
                    run.mounts.iter().for_each(|mount| drop(mount.resolve(|value| scope.expand_text(value))));
                }
                Command::Onbuild(onbuild) => drop(berth_dockerfile::parse_trigger(&onbuild.trigger)),
                Command::Expose(words) => words.iter().for_each(|word| drop(scope.expand_words(word))),
                _ => {}
            }
        }
    }
});
