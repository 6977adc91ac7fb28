//! The tables with a fixed form: RSDP, XSDT, FADT, MADT (ACPI 6.5, 5.2).

use super::{POWER_PORT, RESET_VALUE};
use crate::layout;

/// Length of the RSDP.
pub const RSDP_BYTES: usize = 36;
const HEADER_BYTES: usize = 36;
const MAKER: &[u8; 6] = b"BERTH ";
const MODEL: &[u8; 8] = b"BERTHVM ";

/// A table with its header (5.2.6).
pub fn system(signature: &[u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let mut table = Vec::with_capacity(HEADER_BYTES + body.len());
    table.extend_from_slice(signature);
    table.extend_from_slice(&((HEADER_BYTES + body.len()) as u32).to_le_bytes());
    table.extend_from_slice(&[revision, 0]);
    table.extend_from_slice(MAKER);
    table.extend_from_slice(MODEL);
    table.extend_from_slice(&1_u32.to_le_bytes());
    table.extend_from_slice(b"BRTH");
    table.extend_from_slice(&1_u32.to_le_bytes());
    table.extend_from_slice(body);
    table[9] = checksum(&table);
    table
}

/// The root (5.2.5.3).
pub fn rsdp(xsdt: u64) -> Vec<u8> {
    let mut table = b"RSD PTR \0".to_vec();
    table.extend_from_slice(MAKER);
    table.push(2);
    table.extend_from_slice(&[0; 4]);
    table.extend_from_slice(&(RSDP_BYTES as u32).to_le_bytes());
    table.extend_from_slice(&xsdt.to_le_bytes());
    table.extend_from_slice(&[0; 4]);
    table[8] = checksum(&table[..20]);
    table[32] = checksum(&table);
    table
}

/// Where the others are (5.2.8).
pub fn xsdt(tables: &[u64]) -> Vec<u8> {
    let body: Vec<u8> = tables.iter().flat_map(|at| at.to_le_bytes()).collect();
    system(b"XSDT", 1, &body)
}

/// The fixed hardware, which is absent (5.2.9).
pub fn fadt(dsdt: u64) -> Vec<u8> {
    const BYTES: usize = 276;
    /// Neither VGA, nor a clock in CMOS, nor an 8042 (5.2.9.3).
    const NO_VGA: u16 = 1 << 2;
    const NO_CMOS_CLOCK: u16 = 1 << 5;
    /// `RESET_REG_SUP`, `HW_REDUCED_ACPI`, and power and sleep buttons that are no fixed hardware.
    const FLAGS: u32 = 1 << 4 | 1 << 5 | 1 << 10 | 1 << 20;
    let mut body = vec![0; BYTES - HEADER_BYTES];
    let mut put = |at: usize, bytes: &[u8]| body[at - HEADER_BYTES..][..bytes.len()].copy_from_slice(bytes);
    put(109, &(NO_VGA | NO_CMOS_CLOCK).to_le_bytes());
    put(112, &FLAGS.to_le_bytes());
    put(116, &port(POWER_PORT));
    put(128, &[RESET_VALUE]);
    // The minor version.
    put(131, &[5]);
    put(140, &dsdt.to_le_bytes());
    put(244, &port(POWER_PORT));
    put(256, &port(POWER_PORT + 1));
    system(b"FACP", 6, &body)
}

/// A generic address of one byte in the I/O space (5.2.3.2).
fn port(number: u16) -> [u8; 12] {
    let mut address = [1, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    address[4..6].copy_from_slice(&number.to_le_bytes());
    address
}

/// Processors and interrupt controllers (5.2.12).
pub fn madt(vcpus: u32) -> Vec<u8> {
    let mut body = layout::LOCAL_APIC.to_le_bytes().to_vec();
    body.extend_from_slice(&[0; 4]);
    for id in 0..vcpus as u8 {
        body.extend_from_slice(&[0, 8, id, id, 1, 0, 0, 0]);
    }
    body.extend_from_slice(&[1, 12, 0, 0]);
    body.extend_from_slice(&layout::IOAPIC.to_le_bytes());
    body.extend_from_slice(&[0; 4]);
    system(b"APIC", 6, &body)
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_adds_up_to_zero_and_knows_its_length() {
        for table in [xsdt(&[1, 2]), fadt(0xe_1000), madt(4), super::super::dsdt::table(19)] {
            assert_eq!(checksum(&table), 0, "{:?}", &table[..4]);
            assert_eq!(u32::from_le_bytes(table[4..8].try_into().expect("4 bytes")) as usize, table.len());
        }
        let root = rsdp(0xe_0040);
        assert_eq!((checksum(&root), checksum(&root[..20]), root.len()), (0, 0, RSDP_BYTES));
    }

    #[test]
    fn the_fixed_hardware_is_where_it_belongs() {
        let table = fadt(0xe_1000);
        assert_eq!(table.len(), 276);
        assert_eq!(table[116..120], [1, 8, 0, 1]);
        assert_eq!(u64::from_le_bytes(table[140..148].try_into().expect("8 bytes")), 0xe_1000);
        assert_eq!(madt(2).len(), 36 + 8 + 2 * 8 + 12);
    }
}
