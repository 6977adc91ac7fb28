//! `FROM [--platform=P] IMAGE [AS NAME]`.

use super::statement::Statement;
use crate::diagnostic::Diagnostic;
use crate::instruction::From;
use crate::span::Spanned;

pub(super) fn from(statement: &Statement<'_>) -> Result<From, Diagnostic> {
    let mut platform = None;
    statement.each_flag(&["platform"], &[], |_, value| {
        platform = Some(value);
        Ok(())
    })?;
    let mut words = statement.plain_words();
    let (name, as_keyword) = match &words[..] {
        [_] => (None, None),
        [_, keyword, _] if keyword.text.eq_ignore_ascii_case("AS") => {
            let keyword = words.remove(1);
            let name = words.remove(1);
            if !is_stage_name(&name.text) {
                let message = format!(
                    "invalid name for build stage: {:?}, name can't start with a number or contain symbols",
                    name.text
                );
                return Err(statement.fault_at(&name, message));
            }
            (Some(statement.spanned(name)), Some(statement.spanned(keyword)))
        }
        _ => return Err(statement.fault("FROM requires either one or three arguments")),
    };
    let image = statement.spanned(words.remove(0));
    Ok(From { image, platform, name, as_keyword, ..placeholder(statement) })
}

/// What stands for a `FROM` that cannot be read.
pub(super) fn placeholder(statement: &Statement<'_>) -> From {
    let span = statement.logical.whole();
    From {
        image: Spanned { value: String::new(), span },
        platform: None,
        name: None,
        text: statement.text().to_owned(),
        keyword: statement.keyword.clone(),
        as_keyword: None,
        comments: statement.logical.comments.clone(),
        span,
    }
}

fn is_stage_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}
