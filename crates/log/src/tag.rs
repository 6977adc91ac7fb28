//! What a container tells about itself in its log: tag template, chosen labels and environment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Error, LogConfig, Result};

/// Facts about a container for tag templates and attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerTags {
    /// Full identifier.
    pub id: String,
    /// Name without a leading slash.
    pub name: String,
    /// Full image identifier.
    pub image_id: String,
    /// Image as the user named it.
    pub image_name: String,
    /// Entrypoint and arguments.
    pub command: String,
    /// The container's labels.
    pub labels: BTreeMap<String, String>,
    /// The container's environment, `NAME=value`.
    pub env: Vec<String>,
}

/// The options `labels`, `labels-regex`, `env`, `env-regex` and `tag`, read.
pub(crate) struct Selection {
    labels: Vec<String>,
    labels_regex: Option<regex_lite::Regex>,
    env: Vec<String>,
    env_regex: Option<regex_lite::Regex>,
    tag: Option<String>,
}

impl Selection {
    /// Reads the options.
    ///
    /// # Errors
    /// [`Error::BadOption`] for a broken regular expression or template.
    pub fn parse(config: &LogConfig) -> Result<Self> {
        let list = |option: &str| -> Vec<String> {
            let text = config.options.get(option).map_or("", String::as_str);
            text.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect()
        };
        let regex = |option: &str| match config.options.get(option).filter(|text| !text.is_empty()) {
            Some(text) => regex_lite::Regex::new(text)
                .map(Some)
                .map_err(|error| Error::bad_option(option, text, error.to_string())),
            None => Ok(None),
        };
        let tag = config.options.get("tag").filter(|text| !text.is_empty()).cloned();
        if let Some(template) = &tag {
            expand(template, &ContainerTags::default())?;
        }
        Ok(Self {
            labels: list("labels"),
            labels_regex: regex("labels-regex")?,
            env: list("env"),
            env_regex: regex("env-regex")?,
            tag,
        })
    }

    /// The chosen labels and variables, by name.
    pub fn attributes(&self, tags: &ContainerTags) -> BTreeMap<String, String> {
        let mut chosen = BTreeMap::new();
        for (key, value) in &tags.labels {
            if self.labels.contains(key) || self.labels_regex.as_ref().is_some_and(|regex| regex.is_match(key)) {
                chosen.insert(key.clone(), value.clone());
            }
        }
        for (key, value) in tags.env.iter().filter_map(|pair| pair.split_once('=')) {
            let named = self.env.iter().any(|name| name == key);
            if named || self.env_regex.as_ref().is_some_and(|regex| regex.is_match(key)) {
                chosen.insert(key.to_owned(), value.to_owned());
            }
        }
        chosen
    }

    /// The expanded tag, where one was asked for.
    pub fn tag(&self, tags: &ContainerTags) -> Option<String> {
        self.tag.as_ref().and_then(|template| expand(template, tags).ok())
    }

    /// The expanded tag, or the short identifier.
    pub fn tag_or_id(&self, tags: &ContainerTags) -> String {
        self.tag(tags).unwrap_or_else(|| berth_kit::id::short(&tags.id).to_owned())
    }
}

/// Fills in `{{.ID}}`, `{{.FullID}}`, `{{.Name}}`, `{{.ImageID}}`, `{{.ImageFullID}}`, `{{.ImageName}}`,
/// `{{.Command}}` and `{{.DaemonName}}`.
fn expand(template: &str, tags: &ContainerTags) -> Result<String> {
    let refuse = |why: String| Error::bad_option("tag", template, why);
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(open) = rest.find("{{") {
        text.push_str(&rest[..open]);
        let close = rest[open..].find("}}").ok_or_else(|| refuse("unclosed {{".to_owned()))? + open;
        text.push_str(match rest[open + 2..close].trim() {
            ".ID" => berth_kit::id::short(&tags.id),
            ".FullID" | ".ContainerID" => &tags.id,
            ".Name" | ".ContainerName" => &tags.name,
            ".ImageID" => berth_kit::id::short(&tags.image_id),
            ".ImageFullID" | ".ContainerImageID" => &tags.image_id,
            ".ImageName" | ".ContainerImageName" => &tags.image_name,
            ".Command" => &tags.command,
            ".DaemonName" => "berth",
            other => return Err(refuse(format!("unknown field '{other}'"))),
        });
        rest = &rest[close + 2..];
    }
    text.push_str(rest);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_expand_and_attributes_are_chosen() {
        let tags = ContainerTags {
            id: "0123456789abcdef".repeat(4),
            name: "web".into(),
            labels: [("a".into(), "1".into()), ("b".into(), "2".into()), ("team.x".into(), "3".into())].into(),
            env: vec!["PORT=80".into(), "SECRET=x".into(), "broken".into()],
            ..ContainerTags::default()
        };
        let config = LogConfig::new("json-file")
            .with("tag", "{{.Name}}/{{ .ID }}")
            .with("labels", "a,")
            .with("labels-regex", "^team\\.")
            .with("env", "PORT,broken");
        let selection = Selection::parse(&config).unwrap();
        assert_eq!(selection.tag(&tags).unwrap(), "web/0123456789ab");
        let chosen: Vec<_> = selection.attributes(&tags).into_keys().collect();
        assert_eq!(chosen, ["PORT", "a", "team.x"]);
    }
}
