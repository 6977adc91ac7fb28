//! Raw mode of the terminal on stdin; undone on drop, on a panic and at [`restore`].

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::sync::Mutex;

static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// Raw mode lasts as long as this lives.
pub struct Raw(());

impl Raw {
    /// Enters raw mode, if stdin is a terminal.
    ///
    /// # Errors
    /// What the kernel says (tcsetattr(3)).
    pub fn enter() -> std::io::Result<Option<Self>> {
        let Ok(old) = tcgetattr(std::io::stdin()) else { return Ok(None) };
        let mut raw = old.clone();
        raw.make_raw();
        *SAVED.lock().unwrap_or_else(|e| e.into_inner()) = Some(old);
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            previous(panic);
        }));
        tcsetattr(std::io::stdin(), OptionalActions::Drain, &raw)?;
        Ok(Some(Self(())))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back as it was found.
pub fn restore() {
    if let Ok(mut saved) = SAVED.try_lock()
        && let Some(old) = saved.take()
    {
        // Nothing is left to do when a terminal that is gone refuses.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &old);
    }
}
