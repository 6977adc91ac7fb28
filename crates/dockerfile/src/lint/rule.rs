//! The checks by name. tidy: table

/// A documented check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its name, as in `# check=skip=NAME`.
    pub name: &'static str,
    /// What it asks for.
    pub description: &'static str,
    /// The last part of its page's address: `https://docs.docker.com/go/dockerfile/rule/PAGE/`.
    pub page: &'static str,
    /// Runs only where asked for.
    pub experimental: bool,
}

impl Rule {
    /// Its page.
    #[must_use]
    pub fn address(&self) -> String {
        format!("https://docs.docker.com/go/dockerfile/rule/{}/", self.page)
    }
}

const fn plain(name: &'static str, page: &'static str, description: &'static str) -> Rule {
    Rule { name, description, page, experimental: false }
}

const fn experimental(name: &'static str, page: &'static str, description: &'static str) -> Rule {
    Rule { name, description, page, experimental: true }
}

/// All of them.
pub const RULES: &[Rule] = &[
    plain("StageNameCasing", "stage-name-casing", "Stage names should be lowercase"),
    plain("FromAsCasing", "from-as-casing", "The 'as' keyword should match the case of the 'from' keyword"),
    plain(
        "NoEmptyContinuation",
        "no-empty-continuation",
        "Empty continuation lines will become errors in a future release",
    ),
    plain(
        "ConsistentInstructionCasing",
        "consistent-instruction-casing",
        "All commands within the Dockerfile should use the same casing (either upper or lower)",
    ),
    plain("DuplicateStageName", "duplicate-stage-name", "Stage names should be unique"),
    plain("ReservedStageName", "reserved-stage-name", "Reserved words should not be used as stage names"),
    plain(
        "JSONArgsRecommended",
        "json-args-recommended",
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
    ),
    plain(
        "MaintainerDeprecated",
        "maintainer-deprecated",
        "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
    ),
    plain("UndefinedArgInFrom", "undefined-arg-in-from", "FROM command must use declared ARGs"),
    plain(
        "WorkdirRelativePath",
        "workdir-relative-path",
        "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes",
    ),
    plain("UndefinedVar", "undefined-var", "Variables should be defined before their use"),
    plain(
        "MultipleInstructionsDisallowed",
        "multiple-instructions-disallowed",
        "Multiple instructions of the same type should not be used in the same stage",
    ),
    plain(
        "LegacyKeyValueFormat",
        "legacy-key-value-format",
        "Legacy key/value format with whitespace separator should not be used",
    ),
    plain(
        "InvalidBaseImagePlatform",
        "invalid-base-image-platform",
        "Base image platform does not match expected target platform",
    ),
    plain(
        "RedundantTargetPlatform",
        "redundant-target-platform",
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    ),
    plain(
        "SecretsUsedInArgOrEnv",
        "secrets-used-in-arg-or-env",
        "Sensitive data should not be used in the ARG or ENV commands",
    ),
    plain(
        "InvalidDefaultArgInFrom",
        "invalid-default-arg-in-from",
        "Default value for global ARG results in an empty or invalid base image name",
    ),
    plain(
        "FromPlatformFlagConstDisallowed",
        "from-platform-flag-const-disallowed",
        "FROM --platform flag should not use a constant value",
    ),
    plain("CopyIgnoredFile", "copy-ignored-file", "Attempting to Copy file that is excluded by .dockerignore"),
    experimental(
        "InvalidDefinitionDescription",
        "invalid-definition-description",
        "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.",
    ),
    plain("ExposeProtoCasing", "expose-proto-casing", "Protocol in EXPOSE instruction should be lowercase"),
    plain(
        "ExposeInvalidFormat",
        "expose-invalid-format",
        "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release",
    ),
];

/// The check of this name.
#[must_use]
pub fn rule(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}
