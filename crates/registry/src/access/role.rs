//! Who may do what where.

use crate::name::fits;

/// What can be done with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Read.
    Pull,
    /// Add and move tags.
    Push,
    /// Remove.
    Delete,
    /// All that, and see what belongs to the whole registry.
    Admin,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pull, Self::Push, Self::Delete, Self::Admin];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Admin => "admin",
        }
    }
}

/// A set of actions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Actions(u8);

impl Actions {
    /// Every action.
    pub const ALL: Self = Self(0b1111);

    /// Reads words joined by commas; `*` is all, `admin` includes the others.
    ///
    /// # Errors
    /// The word that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut actions = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match Action::ALL.into_iter().find(|action| action.as_str() == word) {
                _ if word == "*" => actions = Self::ALL,
                Some(action) => actions = actions.with(action),
                None => return Err(format!("{word:?} is none of pull, push, delete, admin")),
            }
        }
        Ok(actions)
    }

    /// The same with `action`.
    #[must_use]
    pub fn with(self, action: Action) -> Self {
        if action == Action::Admin { Self::ALL } else { Self(self.0 | 1 << action as u8) }
    }

    /// Whether `action` is in it.
    #[must_use]
    pub fn has(self, action: Action) -> bool {
        self.0 & (1 << action as u8) != 0
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Its words.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Action::ALL.into_iter().filter(move |action| self.has(*action)).map(Action::as_str)
    }
}

impl std::fmt::Display for Actions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words().collect::<Vec<_>>().join(","))
    }
}

/// Who asks, and what they may.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Account; `None` for anybody.
    pub account: Option<String>,
    /// What they may.
    pub grants: Vec<(String, Actions)>,
    /// What a token narrows that to: repositories by their exact names.
    pub narrowed: Option<Vec<(String, Actions)>>,
}

impl Identity {
    /// Somebody who may do everything.
    #[must_use]
    pub fn owner(account: Option<String>) -> Self {
        Self { account, grants: vec![("**".to_owned(), Actions::ALL)], narrowed: None }
    }

    /// What they may do in a repository.
    #[must_use]
    pub fn actions(&self, repository: &str) -> Actions {
        let fitting = self.grants.iter().filter(|(pattern, _)| fits(pattern, repository));
        let granted = fitting.fold(Actions::default(), |all, (_, actions)| all.or(*actions));
        match &self.narrowed {
            None => granted,
            Some(scopes) => {
                let named = scopes.iter().filter(|(name, _)| name == repository);
                granted.and(named.fold(Actions::default(), |all, (_, actions)| all.or(*actions)))
            }
        }
    }

    /// Whether they may do `action` in a repository.
    #[must_use]
    pub fn may(&self, repository: &str, action: Action) -> bool {
        self.actions(repository).has(action)
    }

    /// Whether the whole registry is theirs.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.grants.iter().any(|(pattern, actions)| pattern == "**" && actions.has(Action::Admin))
    }

    /// Whether they may do anything anywhere.
    #[must_use]
    pub fn is_anybody(&self) -> bool {
        self.account.is_some() || !self.grants.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_read_and_written() {
        let actions = Actions::parse("push, pull").unwrap();
        assert_eq!(actions.to_string(), "pull,push");
        assert!(!actions.has(Action::Delete));
        assert_eq!(Actions::parse("admin").unwrap(), Actions::ALL);
        assert_eq!(Actions::parse("*").unwrap(), Actions::ALL);
        assert!(Actions::parse("pull,root").is_err());
    }

    #[test]
    fn a_token_narrows_and_never_widens() {
        let mut identity = Identity {
            account: Some("ci".to_owned()),
            grants: vec![("team/*".to_owned(), Actions::parse("pull,push").unwrap())],
            narrowed: None,
        };
        assert!(identity.may("team/app", Action::Push) && !identity.may("other/app", Action::Pull));
        let scopes =
            vec![("team/app".to_owned(), Actions::parse("pull").unwrap()), ("other/app".to_owned(), Actions::ALL)];
        identity.narrowed = Some(scopes);
        assert!(identity.may("team/app", Action::Pull));
        assert!(!identity.may("team/app", Action::Push));
        assert!(!identity.may("team/web", Action::Pull));
        assert!(!identity.may("other/app", Action::Pull));
    }
}
