//! The host's end of the channel: requests with their answers, and what the guest reports meanwhile.

use std::{collections::VecDeque, os::fd::OwnedFd, time::Duration};

use crate::{
    message::{Answer, Failure, Report, Request, Ticketed},
    mux::{Broken, Mux},
};

/// See the module.
#[derive(Debug)]
pub struct Link {
    /// The streams.
    pub mux: Mux,
    reports: VecDeque<Report>,
    next_ticket: u32,
}

impl Link {
    /// Speaks with the guest at the other end of `channel`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn new(channel: OwnedFd) -> Result<Self, rustix::io::Errno> {
        Ok(Self { mux: Mux::new(channel)?, reports: VecDeque::new(), next_ticket: 0 })
    }

    /// Asks; the answer will carry the number that is returned.
    pub fn send(&mut self, request: Request) -> u32 {
        self.next_ticket += 1;
        self.mux.send(&Ticketed { ticket: self.next_ticket, request });
        self.next_ticket
    }

    /// The answer to a request, once it has come.
    ///
    /// # Errors
    /// The guest's refusal.
    pub fn answer(&mut self, ticket: u32) -> Result<Option<Answer>, Failure> {
        let Some(found) = self.reports.iter().position(|report| is_answer(report, ticket)) else { return Ok(None) };
        match self.reports.remove(found) {
            Some(Report::Answer { answer: Answer::Failed(failure), .. }) => Err(failure),
            Some(Report::Answer { answer, .. }) => Ok(Some(answer)),
            _ => Ok(None),
        }
    }

    /// Does what there is to do on the channel, waiting at most `timeout`.
    ///
    /// # Errors
    /// The channel is of no more use.
    pub fn turn(&mut self, timeout: Option<Duration>) -> Result<(), Failure> {
        let outcome = self.mux.turn(timeout);
        while let Some(message) = self.mux.message() {
            match serde_json::from_slice(&message) {
                Ok(report) => self.reports.push_back(report),
                Err(error) => return Err(lost(&format!("it said what nobody understands: {error}"))),
            }
        }
        outcome.map_err(|error: Broken| lost(&error.to_string()))
    }

    /// The oldest report that is no answer.
    pub fn report(&mut self) -> Option<Report> {
        let found = self.reports.iter().position(|report| !matches!(report, Report::Answer { .. }))?;
        self.reports.remove(found)
    }
}

fn is_answer(report: &Report, wanted: u32) -> bool {
    matches!(report, Report::Answer { ticket, .. } if *ticket == wanted)
}

fn lost(why: &str) -> Failure {
    Failure { step: "guest".to_owned(), errno: 0, message: format!("the virtual machine is lost: {why}") }
}
