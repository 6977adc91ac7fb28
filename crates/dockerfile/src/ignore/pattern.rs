//! One pattern of an ignore file: read once, matched without backtracking.

/// A cleaned pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    shape: Shape,
    /// What stands before the first special character.
    literal: String,
}

/// Most patterns need no machine.
#[derive(Debug, Clone)]
enum Shape {
    /// No special character.
    Exactly(String),
    /// `text**` at the end: what begins so.
    Below(String),
    /// `**text` or `**/text`: what ends so; the text with its slash.
    Ending(String),
    /// Everything else.
    Machine(Vec<Step>),
}

/// A state of the machine.
#[derive(Debug, Clone)]
enum Step {
    Exactly(char),
    /// `?`.
    One,
    /// `*`.
    Many,
    /// `**` at the end.
    All,
    /// `**/`: go on two steps further, or one.
    EnterFolders,
    /// Inside of `**/`: up to a slash.
    Folders,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    pub(super) fn new(text: &str) -> Result<Self, &'static str> {
        let characters: Vec<char> = text.chars().collect();
        let mut steps = Vec::new();
        let mut at = 0;
        while let Some(character) = characters.get(at) {
            at += 1;
            match character {
                '*' if characters.get(at) == Some(&'*') => {
                    at += 1;
                    if characters.get(at) == Some(&'/') {
                        at += 1;
                    }
                    match at == characters.len() {
                        true => steps.push(Step::All),
                        false => steps.extend([Step::EnterFolders, Step::Folders]),
                    }
                }
                '*' => steps.push(Step::Many),
                '?' => steps.push(Step::One),
                '[' => steps.push(class(&characters, &mut at)?),
                '\\' => {
                    let next = characters.get(at).ok_or("it ends with a backslash")?;
                    steps.push(Step::Exactly(*next));
                    at += 1;
                }
                other => steps.push(Step::Exactly(*other)),
            }
        }
        let literal: String = steps.iter().map_while(Step::literal).collect();
        Ok(Self { shape: shape(text, steps), literal })
    }

    /// Whether the path itself or a folder above it matches.
    pub(super) fn matches_with_parents(&self, path: &str) -> bool {
        match &self.shape {
            Shape::Exactly(text) => is_at_or_below(path, text),
            // What begins so goes on to begin so below.
            Shape::Below(prefix) => path.starts_with(prefix.as_str()),
            _ => {
                let ends = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
                ends.chain([path.len()]).any(|end| self.matches(&path[..end]))
            }
        }
    }

    fn matches(&self, path: &str) -> bool {
        match &self.shape {
            Shape::Exactly(text) => path == text,
            Shape::Below(prefix) => path.starts_with(prefix.as_str()),
            Shape::Ending(suffix) => path.ends_with(suffix.as_str()) || suffix.strip_prefix('/') == Some(path),
            Shape::Machine(steps) => run(steps, path),
        }
    }

    /// Whether something below `folder` could match. May say yes too often, never no wrongly.
    pub(super) fn may_match_below(&self, folder: &str) -> bool {
        let below = format!("{folder}/");
        match &self.shape {
            Shape::Exactly(text) => text.starts_with(&below) || is_at_or_below(folder, text),
            _ => self.literal.starts_with(&below) || below.starts_with(&self.literal),
        }
    }
}

impl Step {
    fn literal(&self) -> Option<char> {
        match self {
            Self::Exactly(character) => Some(*character),
            _ => None,
        }
    }
}

fn is_at_or_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The cheapest shape that says the same.
fn shape(text: &str, steps: Vec<Step>) -> Shape {
    let literal = |steps: &[Step]| steps.iter().map(Step::literal).collect::<Option<String>>();
    if let Some(text) = literal(&steps) {
        return Shape::Exactly(text);
    }
    match &steps[..] {
        [before @ .., Step::All] => {
            if let Some(prefix) = literal(before) {
                return Shape::Below(prefix);
            }
        }
        [Step::EnterFolders, Step::Folders, rest @ ..] => {
            if let Some(suffix) = literal(rest) {
                let slash = if text.starts_with("**/") { "/" } else { "" };
                return Shape::Ending(format!("{slash}{suffix}"));
            }
        }
        _ => {}
    }
    Shape::Machine(steps)
}

/// `[a-z^]` behind its bracket.
fn class(characters: &[char], at: &mut usize) -> Result<Step, &'static str> {
    const OPEN: &str = "a bracket never closes";
    let negated = characters.get(*at) == Some(&'^');
    if negated {
        *at += 1;
    }
    let mut ranges = Vec::new();
    let one = |at: &mut usize| -> Result<char, &'static str> {
        let mut character = *characters.get(*at).ok_or(OPEN)?;
        *at += 1;
        if character == '\\' {
            character = *characters.get(*at).ok_or(OPEN)?;
            *at += 1;
        }
        Ok(character)
    };
    loop {
        match characters.get(*at) {
            None => return Err(OPEN),
            Some(']') if ranges.is_empty() => return Err("a bracket holds nothing"),
            Some(']') => {
                *at += 1;
                return Ok(Step::Class { negated, ranges });
            }
            Some(_) => {}
        }
        let low = one(at)?;
        let high = match characters.get(*at) {
            Some('-') => {
                *at += 1;
                match characters.get(*at) {
                    Some(']') | None => return Err("a range has no end"),
                    Some(_) => one(at)?,
                }
            }
            _ => low,
        };
        if high < low {
            return Err("a range runs backwards");
        }
        ranges.push((low, high));
    }
}

/// All states at once, one character after the other.
fn run(steps: &[Step], path: &str) -> bool {
    let mut states = vec![false; steps.len() + 1];
    let mut next = states.clone();
    states[0] = true;
    settle(steps, &mut states);
    for character in path.chars() {
        next.fill(false);
        let mut alive = false;
        for (at, step) in steps.iter().enumerate().filter(|(at, _)| states[*at]) {
            let (stay, go) = match step {
                Step::Exactly(wanted) => (false, *wanted == character),
                Step::One => (false, character != '/'),
                Step::Many => (character != '/', false),
                Step::All => (true, false),
                Step::EnterFolders => (false, false),
                Step::Folders => (true, character == '/'),
                Step::Class { negated, ranges } => {
                    (false, ranges.iter().any(|(low, high)| (*low..=*high).contains(&character)) != *negated)
                }
            };
            next[at] |= stay;
            next[at + 1] |= go;
            alive |= stay || go;
        }
        if !alive {
            return false;
        }
        settle(steps, &mut next);
        std::mem::swap(&mut states, &mut next);
    }
    states[steps.len()]
}

/// Steps that may match nothing.
fn settle(steps: &[Step], states: &mut [bool]) {
    for (at, step) in steps.iter().enumerate() {
        match step {
            _ if !states[at] => {}
            Step::Many | Step::All => states[at + 1] = true,
            Step::EnterFolders => {
                states[at + 1] = true;
                states[at + 2] = true;
            }
            _ => {}
        }
    }
}
