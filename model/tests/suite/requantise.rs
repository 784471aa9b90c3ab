//! Writes a GGUF file anew with its 4-bit weights in Q8_0, for an engine that does not read Q4_1.
use std::io::Write;
use std::path::Path;

use model::gguf::blocks::{Codes, Format, round};
use model::gguf::reader::GgufFile;

const Q8_0: u32 = 8;
const F32: u32 = 0;

/// The head of `from` is taken over byte by byte up to its list of tensors, which is written anew.
pub(crate) fn to_eight_bits(from: &Path, to: &Path) {
    let gguf = GgufFile::open(from).unwrap();
    let head = std::fs::read(from).unwrap();
    let first = gguf
        .tensors()
        .map(|(name, _)| name_at(&head, name))
        .min()
        .unwrap();
    let mut file = std::io::BufWriter::new(std::fs::File::create(to).unwrap());
    let mut list = head[..first].to_vec();
    let mut data = Vec::new();
    for (name, tensor) in gguf.tensors() {
        let kind = if tensor.format == Format::F32 { F32 } else { Q8_0 };
        list.extend((name.len() as u64).to_le_bytes());
        list.extend(name.as_bytes());
        let sides = if tensor.rows == 1 {
            vec![tensor.columns]
        } else {
            vec![tensor.columns, tensor.rows]
        };
        list.extend(u32::try_from(sides.len()).unwrap().to_le_bytes());
        sides
            .iter()
            .for_each(|side| list.extend((*side as u64).to_le_bytes()));
        list.extend(kind.to_le_bytes());
        list.extend((data.len() as u64).to_le_bytes());
        let mut bytes = Vec::new();
        gguf.read_rows(tensor, 0, tensor.rows, &mut bytes).unwrap();
        if kind == F32 || tensor.format == Format::Q8_0 {
            data.extend(bytes);
        } else {
            let mut floats = Vec::new();
            bytes
                .chunks(tensor.row_bytes)
                .for_each(|row| tensor.format.floats(row, &mut floats));
            eight_bit_blocks(&floats, &mut data);
        }
        data.resize(data.len().next_multiple_of(32), 0);
    }
    list.resize(list.len().next_multiple_of(32), 0);
    file.write_all(&list)
        .and_then(|()| file.write_all(&data))
        .and_then(|()| file.flush())
        .unwrap();
}

/// Where a tensor's entry begins: its name's length and its name.
fn name_at(head: &[u8], name: &str) -> usize {
    let entry = [&(name.len() as u64).to_le_bytes()[..], name.as_bytes()].concat();
    let head = &head[..head.len().min(8 << 20)];
    head.windows(entry.len())
        .rposition(|window| window == entry)
        .unwrap()
}

fn eight_bit_blocks(floats: &[f32], data: &mut Vec<u8>) {
    for block in floats.chunks(32) {
        let mut codes = Codes::default();
        round(block, &mut codes);
        data.extend(half(codes.scales[0]).to_le_bytes());
        data.extend(codes.codes.iter().map(|code| code ^ 128));
    }
}

/// A 16-bit float; scales of weights are neither tiny nor huge.
fn half(number: f32) -> u16 {
    let rounded = number.to_bits() + 0x1000; // half of what is cut off
    let exponent = (rounded >> 23 & 255) as i32 - 112;
    if exponent <= 0 {
        return (number / f32::from_bits(0x3380_0000)).round() as u16;
    }
    (u16::try_from(exponent).unwrap() << 10) | (rounded >> 13 & 0x3ff) as u16
}
