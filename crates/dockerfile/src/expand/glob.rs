//! Patterns behind `#`, `%` and `/`: `*`, `?`, and `\` before a character that means itself.

use crate::error::Error;
use crate::limit;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Exactly(char),
    One,
    Any,
}

/// A pattern, ready to match.
pub(super) struct Pattern {
    pieces: Vec<Piece>,
}

impl Pattern {
    pub(super) fn new(text: &str, escape: char) -> Self {
        let mut pieces = Vec::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '*' if pieces.last() == Some(&Piece::Any) => {}
                '*' => pieces.push(Piece::Any),
                '?' => pieces.push(Piece::One),
                _ if character == escape => pieces.extend(characters.next().map(Piece::Exactly)),
                _ => pieces.push(Piece::Exactly(character)),
            }
        }
        Self { pieces }
    }

    /// How long the shortest or longest matching start of `value` is, in characters.
    pub(super) fn prefix(&self, value: &[char], longest: bool) -> Result<Option<usize>, Error> {
        self.length(value.iter().copied(), value.len(), self.pieces.iter().copied(), longest)
    }

    /// How long the shortest or longest matching end of `value` is, in characters.
    pub(super) fn suffix(&self, value: &[char], longest: bool) -> Result<Option<usize>, Error> {
        self.length(value.iter().rev().copied(), value.len(), self.pieces.iter().rev().copied(), longest)
    }

    /// Replaces the first longest match, or each one from left to right; an empty match is none.
    pub(super) fn replace(&self, value: &[char], replacement: &str, all: bool) -> Result<String, Error> {
        let work = value.len().saturating_mul(value.len()).saturating_mul(self.pieces.len() + 1);
        if self.pieces.contains(&Piece::Any) && work > limit::PATTERN_WORK {
            return Err(Error::Limit("compares too much"));
        }
        let mut out = String::new();
        let mut at = 0;
        let mut replaced = false;
        while at < value.len() {
            let length = match replaced && !all {
                true => None,
                false => self.prefix(&value[at..], true)?.filter(|length| *length > 0),
            };
            match length {
                Some(length) => {
                    out.push_str(replacement);
                    at += length;
                    replaced = true;
                }
                None => {
                    out.push(value[at]);
                    at += 1;
                }
            }
            if out.len() > limit::EXPANDED_BYTES {
                return Err(Error::Limit("grows too large"));
            }
        }
        Ok(out)
    }

    /// All states of the pattern at once, one character after the other.
    fn length(
        &self,
        value: impl Iterator<Item = char>,
        total: usize,
        pieces: impl Iterator<Item = Piece>,
        longest: bool,
    ) -> Result<Option<usize>, Error> {
        let pieces: Vec<Piece> = pieces.collect();
        if pieces.contains(&Piece::Any) && total.saturating_mul(pieces.len() + 1) > limit::PATTERN_WORK {
            return Err(Error::Limit("compares too much"));
        }
        let mut states = vec![false; pieces.len() + 1];
        states[0] = true;
        settle(&pieces, &mut states);
        let mut found = states[pieces.len()].then_some(0);
        for (index, character) in value.enumerate() {
            if (found.is_some() && !longest) || !states.iter().any(|state| *state) {
                break;
            }
            let mut next = vec![false; pieces.len() + 1];
            for (state, piece) in pieces.iter().enumerate().filter(|(state, _)| states[*state]) {
                match piece {
                    Piece::Exactly(wanted) if *wanted == character => next[state + 1] = true,
                    Piece::Exactly(_) => {}
                    Piece::One => next[state + 1] = true,
                    Piece::Any => next[state] = true,
                }
            }
            settle(&pieces, &mut next);
            states = next;
            if states[pieces.len()] {
                found = Some(index + 1);
            }
        }
        Ok(found)
    }
}

/// `*` may match nothing.
fn settle(pieces: &[Piece], states: &mut [bool]) {
    for (state, piece) in pieces.iter().enumerate() {
        if states[state] && *piece == Piece::Any {
            states[state + 1] = true;
        }
    }
}
