//! From ranges to instructions: a section for each architecture, in it a balanced tree of comparisons.

use libc::sock_filter;

use super::compare::{
    ARCH_OFFSET, JUMP, JUMP_AT_LEAST, JUMP_EQUAL, LOAD, NUMBER_OFFSET, RETURN, append_condition, instruction,
};
use super::rule::{Ranges, Verdict, returned};

/// The farthest a conditional jump reaches.
const NEAR: usize = u8::MAX as usize;

/// The whole filter. A call of an architecture without a section kills.
pub(super) fn program(sections: &[(u32, Ranges)]) -> Vec<sock_filter> {
    let mut code = vec![instruction(LOAD, ARCH_OFFSET, 0, 0)];
    for (token, ranges) in sections {
        let body = tree(ranges);
        let length = body.len() + 1;
        if length <= NEAR {
            code.push(instruction(JUMP_EQUAL, *token, 0, length as u8));
        } else {
            code.push(instruction(JUMP_EQUAL, *token, 1, 0));
            code.push(instruction(JUMP, length as u32, 0, 0));
        }
        code.push(instruction(LOAD, NUMBER_OFFSET, 0, 0));
        code.extend(body);
    }
    code.push(instruction(RETURN, returned::KILL_THREAD, 0, 0));
    code
}

/// Code that finds the range of the loaded number; every way through it returns.
fn tree(ranges: &[(u32, Verdict)]) -> Vec<sock_filter> {
    if let [(_, verdict)] = ranges {
        return leaf(verdict);
    }
    let (left, right) = ranges.split_at(ranges.len() / 2);
    let border = right[0].0;
    let (left, right) = (tree(left), tree(right));
    let mut code = Vec::with_capacity(left.len() + right.len() + 2);
    if left.len() <= NEAR {
        code.push(instruction(JUMP_AT_LEAST, border, left.len() as u8, 0));
    } else {
        code.push(instruction(JUMP_AT_LEAST, border, 0, 1));
        code.push(instruction(JUMP, left.len() as u32, 0, 0));
    }
    code.extend(left);
    code.extend(right);
    code
}

fn leaf(verdict: &Verdict) -> Vec<sock_filter> {
    let mut code = Vec::new();
    for condition in &verdict.conditions {
        append_condition(&mut code, &condition.all, condition.returned);
    }
    code.push(instruction(RETURN, verdict.otherwise, 0, 0));
    code
}
