//! From ranges to instructions: a section for each architecture, in it a balanced tree of comparisons.

use libc::sock_filter;

use super::compare::{
    ARCH_OFFSET, JUMP, JUMP_AT_LEAST, JUMP_EQUAL, LOAD, NUMBER_OFFSET, RETURN, append_condition, instruction,
};
use super::rule::{Ranges, Verdict, returned};

/// The farthest a conditional jump reaches.
const NEAR: usize = u8::MAX as usize;

/// The whole filter. A call of an architecture without a section kills.
///
/// It is written from its end, so that each jump is written when the length of what it leaps over is known.
pub(super) fn program(sections: &[(u32, Ranges)]) -> Vec<sock_filter> {
    let mut reversed = vec![instruction(RETURN, returned::KILL_THREAD, 0, 0)];
    for (token, ranges) in sections.iter().rev() {
        let end = reversed.len();
        append_tree(&mut reversed, ranges);
        reversed.push(instruction(LOAD, NUMBER_OFFSET, 0, 0));
        let length = reversed.len() - end;
        if length <= NEAR {
            reversed.push(instruction(JUMP_EQUAL, *token, 0, length as u8));
        } else {
            reversed.push(instruction(JUMP, length as u32, 0, 0));
            reversed.push(instruction(JUMP_EQUAL, *token, 1, 0));
        }
    }
    reversed.push(instruction(LOAD, ARCH_OFFSET, 0, 0));
    reversed.reverse();
    reversed
}

/// Code that finds the range of the loaded number; every way through it returns.
fn append_tree(reversed: &mut Vec<sock_filter>, ranges: &[(u32, Verdict)]) {
    if let [(_, verdict)] = ranges {
        return append_leaf(reversed, verdict);
    }
    let (left, right) = ranges.split_at(ranges.len() / 2);
    append_tree(reversed, right);
    let end = reversed.len();
    append_tree(reversed, left);
    let length = reversed.len() - end;
    if length <= NEAR {
        reversed.push(instruction(JUMP_AT_LEAST, right[0].0, length as u8, 0));
    } else {
        reversed.push(instruction(JUMP, length as u32, 0, 0));
        reversed.push(instruction(JUMP_AT_LEAST, right[0].0, 0, 1));
    }
}

fn append_leaf(reversed: &mut Vec<sock_filter>, verdict: &Verdict) {
    reversed.push(instruction(RETURN, verdict.otherwise, 0, 0));
    for condition in verdict.conditions.iter().rev() {
        let mut code = Vec::new();
        append_condition(&mut code, &condition.all, condition.returned);
        reversed.extend(code.into_iter().rev());
    }
}
