//! Files with holes: GNU's old headers and the three PAX forms (GNU tar manual, "Storing Sparse Files").

use super::format::{self, Block};

/// Most pieces one file may consist of.
pub const PIECES_MAX: usize = 65_536;

/// A run of stored bytes: where it lies in the file, and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    pub offset: u64,
    pub length: u64,
}

/// The pieces of a sparse file and its length with holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    pub pieces: Vec<Piece>,
    pub size: u64,
}

impl Map {
    /// Checks that the pieces are in order, inside the file, and hold `stored` bytes in all.
    pub fn fits(&self, stored: u64) -> bool {
        let (mut end, mut sum) = (0u64, 0u64);
        for piece in &self.pieces {
            let Some(next) = piece.offset.checked_add(piece.length) else { return false };
            if piece.offset < end || next > self.size {
                return false;
            }
            end = next;
            sum += piece.length;
        }
        sum == stored
    }
}

/// The pieces in `slots` 24-byte slots at `from`, up to the first empty one; `None` when a number is spoiled.
pub fn gnu_slots(block: &Block, from: usize, slots: usize) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    for slot in block[from..from + slots * 24].chunks_exact(24) {
        if slot[0] == 0 {
            break;
        }
        let offset = u64::try_from(format::number(&slot[..12])?).ok()?;
        let length = u64::try_from(format::number(&slot[12..])?).ok()?;
        pieces.push(Piece { offset, length });
    }
    Some(pieces)
}

/// Pieces from decimal numbers in pairs (PAX forms 0.0, 0.1 and 1.0).
pub fn from_numbers(numbers: &[u64]) -> Option<Vec<Piece>> {
    if !numbers.len().is_multiple_of(2) || numbers.len() / 2 > PIECES_MAX {
        return None;
    }
    Some(numbers.chunks_exact(2).map(|pair| Piece { offset: pair[0], length: pair[1] }).collect())
}
