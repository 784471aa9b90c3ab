//! GGUF's weight formats: what each block says, as codes with a scale and an offset.
//!
//! The layouts: `ggml-common.h` and `ggml-quants.c` of llama.cpp. Every handled block is the same idea in other
//! clothes, `weight = scale * (code - centre) + offset`, and that is what `MatMulNBits` computes, the offset aside.

/// How a tensor's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are GGUF's")]
#[expect(non_camel_case_types, reason = "the names are GGUF's")]
pub enum Format {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4_K,
    Q5_K,
    Q6_K,
}

/// Formats that are known and not handled, by GGUF's number.
const OTHERS: [(u32, &str); 16] = [
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
];

/// How codes lie in a matrix of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// 4 or 8.
    pub bits: usize,
    /// Weights with one scale: 16 or 32.
    pub block: usize,
    /// Whether blocks have an offset.
    pub offsets: bool,
}

impl Layout {
    /// What every matrix can be rounded to.
    pub const ROUNDED: Self = Self {
        bits: 8,
        block: 32,
        offsets: false,
    };

    /// The code that stands for zero.
    #[must_use]
    pub const fn centre(self) -> u8 {
        if self.bits == 4 { 8 } else { 128 }
    }

    /// The same weights with the codes in 8 bits.
    #[must_use]
    pub const fn widened(self) -> Self {
        Self { bits: 8, ..self }
    }
}

/// Rows as codes: one byte a code whatever the bits, row after row.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Codes {
    /// The codes.
    pub codes: Vec<u8>,
    /// One scale a block.
    pub scales: Vec<f32>,
    /// One offset a block; empty when the layout has none.
    pub offsets: Vec<f32>,
}

impl Format {
    /// The format with this number in GGUF.
    ///
    /// # Errors
    /// The name of one that is not handled.
    pub fn of_ggml(number: u32) -> Result<Self, String> {
        Ok(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            12 => Self::Q4_K,
            13 => Self::Q5_K,
            14 => Self::Q6_K,
            30 => Self::BF16,
            _ => {
                let known = OTHERS.iter().find(|(other, _)| *other == number);
                return Err(known.map_or_else(|| format!("number {number}"), |(_, name)| (*name).to_owned()));
            }
        })
    }

    /// GGUF's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q4_K => "Q4_K",
            Self::Q5_K => "Q5_K",
            Self::Q6_K => "Q6_K",
        }
    }

    /// (Numbers, bytes) of the smallest part that stands alone.
    const fn unit(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::BF16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q4_K => (256, 144),
            Self::Q5_K => (256, 176),
            Self::Q6_K => (256, 210),
        }
    }

    /// Bytes of a row; `None` when it is no whole number of blocks.
    #[must_use]
    pub fn row_bytes(self, columns: usize) -> Option<usize> {
        let (numbers, bytes) = self.unit();
        columns
            .is_multiple_of(numbers)
            .then(|| (columns / numbers).checked_mul(bytes))?
    }

    /// The layout that holds these blocks exactly; `None` for floats.
    #[must_use]
    pub const fn layout(self) -> Option<Layout> {
        let (bits, block, offsets) = match self {
            Self::F32 | Self::F16 | Self::BF16 => return None,
            Self::Q4_0 => (4, 32, false),
            Self::Q4_1 | Self::Q4_K => (4, 32, true),
            Self::Q5_0 | Self::Q8_0 => (8, 32, false),
            Self::Q5_1 | Self::Q5_K => (8, 32, true),
            Self::Q6_K => (8, 16, false),
        };
        Some(Layout { bits, block, offsets })
    }

    /// The numbers of a row, added to `out`.
    pub fn floats(self, row: &[u8], out: &mut Vec<f32>) {
        match self {
            Self::F32 => out.extend(row.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))),
            Self::F16 => out.extend(row.as_chunks().0.iter().map(|bytes| half(*bytes))),
            Self::BF16 => out.extend(
                row.as_chunks()
                    .0
                    .iter()
                    .map(|[low, high]| f32::from_le_bytes([0, 0, *low, *high])),
            ),
            _ => {
                let mut codes = Codes::default();
                self.codes(row, &mut codes);
                let Some(layout) = self.layout() else { return };
                for (index, block) in codes.codes.chunks_exact(layout.block).enumerate() {
                    let scale = codes.scales.get(index).copied().unwrap_or_default();
                    let offset = codes.offsets.get(index).copied().unwrap_or_default();
                    let centre = f32::from(layout.centre());
                    out.extend(
                        block
                            .iter()
                            .map(|code| scale * (f32::from(*code) - centre) + offset),
                    );
                }
            }
        }
    }

    /// The codes of a row in the format's own [`layout`](Self::layout), added to `out`. Floats have none.
    pub fn codes(self, row: &[u8], out: &mut Codes) {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => {}
            Self::Q4_0 => row.as_chunks::<18>().0.iter().for_each(|block| {
                let ([low, high], packed) = split(block);
                out.scales.push(half([low, high]));
                nibbles(packed, &mut out.codes);
            }),
            Self::Q4_1 => row.as_chunks::<20>().0.iter().for_each(|block| {
                let ([a, b, c, d], packed) = split(block);
                let (scale, minimum) = (half([a, b]), half([c, d]));
                out.scales.push(scale);
                out.offsets.push(minimum + 8.0 * scale);
                nibbles(packed, &mut out.codes);
            }),
            Self::Q5_0 => row.as_chunks::<22>().0.iter().for_each(|block| {
                let ([a, b, h0, h1, h2, h3], packed) = split(block);
                out.scales.push(half([a, b]));
                five_bits(u32::from_le_bytes([h0, h1, h2, h3]), packed, &mut out.codes);
            }),
            Self::Q5_1 => row.as_chunks::<24>().0.iter().for_each(|block| {
                let ([a, b, c, d, h0, h1, h2, h3], packed) = split(block);
                let (scale, minimum) = (half([a, b]), half([c, d]));
                out.scales.push(scale);
                out.offsets.push(minimum + 16.0 * scale);
                five_bits(u32::from_le_bytes([h0, h1, h2, h3]), packed, &mut out.codes);
            }),
            Self::Q8_0 => row.as_chunks::<34>().0.iter().for_each(|block| {
                let ([a, b], values) = split(block);
                out.scales.push(half([a, b]));
                out.codes.extend(values.iter().map(|value| value ^ 128)); // two's complement to around 128
            }),
            Self::Q4_K => row
                .as_chunks::<144>()
                .0
                .iter()
                .for_each(|block| four_k(block, out)),
            Self::Q5_K => row
                .as_chunks::<176>()
                .0
                .iter()
                .for_each(|block| five_k(block, out)),
            Self::Q6_K => row
                .as_chunks::<210>()
                .0
                .iter()
                .for_each(|block| six_k(block, out)),
        }
    }
}

/// A block's first bytes and the rest.
fn split<const N: usize>(block: &[u8]) -> ([u8; N], &[u8]) {
    block
        .split_first_chunk()
        .map_or(([0; N], &[]), |(head, rest)| (*head, rest))
}

/// Low nibbles are the block's first half, high nibbles its second.
fn nibbles(packed: &[u8], codes: &mut Vec<u8>) {
    codes.extend(packed.iter().map(|byte| byte & 15));
    codes.extend(packed.iter().map(|byte| byte >> 4));
}

/// The same with a fifth bit each, as codes around 128 with 16 for the middle of 0 to 31.
fn five_bits(high: u32, packed: &[u8], codes: &mut Vec<u8>) {
    let fifth = |index: usize| u8::from(high >> index & 1 == 1) << 4;
    codes.extend(
        packed
            .iter()
            .enumerate()
            .map(|(i, byte)| 112 + (byte & 15 | fifth(i))),
    );
    codes.extend(
        packed
            .iter()
            .enumerate()
            .map(|(i, byte)| 112 + (byte >> 4 | fifth(i + 16))),
    );
}

/// The eight 6-bit (scale, minimum) pairs of a `_K` block.
fn pairs(packed: &[u8; 12]) -> [(u8, u8); 8] {
    let [s0, s1, s2, s3, m0, m1, m2, m3, x0, x1, x2, x3] = *packed;
    let late = |extra: u8, scale: u8, minimum: u8| {
        (extra & 15 | (scale >> 6) << 4, extra >> 4 | (minimum >> 6) << 4)
    };
    [
        (s0 & 63, m0 & 63),
        (s1 & 63, m1 & 63),
        (s2 & 63, m2 & 63),
        (s3 & 63, m3 & 63),
        late(x0, s0, m0),
        late(x1, s1, m1),
        late(x2, s2, m2),
        late(x3, s3, m3),
    ]
}

/// Scales and offsets of a `_K` block's eight parts; `middle` is what the codes are shifted by.
fn k_scales(head: [u8; 16], middle: f32, out: &mut Codes) {
    let ([a, b, c, d], packed) = split(&head);
    let (scale, minimum) = (half([a, b]), half([c, d]));
    let packed = packed.first_chunk().copied().unwrap_or_default();
    for (part, least) in pairs(&packed) {
        let own = scale * f32::from(part);
        out.scales.push(own);
        out.offsets.push(middle * own - minimum * f32::from(least));
    }
}

fn four_k(block: &[u8; 144], out: &mut Codes) {
    let (head, packed) = split::<16>(block);
    k_scales(head, 8.0, out);
    for part in packed.chunks_exact(32) {
        nibbles(part, &mut out.codes);
    }
}

fn five_k(block: &[u8; 176], out: &mut Codes) {
    let (head, rest) = split::<16>(block);
    k_scales(head, 16.0, out);
    let (high, packed) = rest.split_at(32);
    for (index, part) in packed.chunks_exact(32).enumerate() {
        for upper in [false, true] {
            let shift = 2 * index + usize::from(upper);
            out.codes.extend(part.iter().zip(high).map(|(byte, bits)| {
                let low = if upper { byte >> 4 } else { byte & 15 };
                112 + (low | (bits >> shift & 1) << 4)
            }));
        }
    }
}

fn six_k(block: &[u8; 210], out: &mut Codes) {
    let (low, rest) = block.split_at(128);
    let (high, rest) = rest.split_at(64);
    let (scales, scale) = rest.split_at(16);
    let scale = half(scale.first_chunk().copied().unwrap_or_default());
    out.scales
        .extend(scales.iter().map(|part| scale * f32::from(part.cast_signed())));
    for (low, high) in low.chunks_exact(64).zip(high.chunks_exact(32)) {
        let (first, second) = low.split_at(32);
        for (quarter, bytes) in [first, second, first, second].into_iter().enumerate() {
            out.codes.extend(bytes.iter().zip(high).map(|(byte, bits)| {
                let four = if quarter < 2 { byte & 15 } else { byte >> 4 };
                // 0 to 63 around 32, to around 128
                96 + (four | (bits >> (2 * quarter) & 3) << 4)
            }));
        }
    }
}

/// Rounds numbers to 8 bits in blocks of 32, symmetric; a block of zeros has a scale that is not zero.
pub fn round(numbers: &[f32], out: &mut Codes) {
    for block in numbers.chunks(Layout::ROUNDED.block) {
        let largest = block
            .iter()
            .fold(0f32, |largest, number| largest.max(number.abs()));
        let scale = (largest / 127.0).max(1e-12);
        out.scales.push(scale);
        out.codes.extend(block.iter().map(|number| {
            // in range by the choice of the scale; ties to even, as numpy rounds
            ((number / scale).round_ties_even().clamp(-127.0, 127.0) + 128.0) as u8
        }));
    }
}

/// Codes of one layout in a wider one: more bits, smaller blocks. Exact.
#[must_use]
pub fn widen(from: Layout, to: Layout, codes: Codes) -> Codes {
    let shift = to.centre() - from.centre();
    let times = from.block / to.block.max(1);
    let repeat = |numbers: Vec<f32>| match times {
        0 | 1 => numbers,
        _ => numbers
            .into_iter()
            .flat_map(|number| std::iter::repeat_n(number, times))
            .collect(),
    };
    let scales = repeat(codes.scales);
    let offsets = match (from.offsets, to.offsets) {
        (false, true) => vec![0.0; scales.len()],
        _ => repeat(codes.offsets),
    };
    let mut values = codes.codes;
    if shift > 0 {
        values.iter_mut().for_each(|code| *code += shift);
    }
    Codes {
        codes: values,
        scales,
        offsets,
    }
}

/// A 16-bit float.
fn half(bytes: [u8; 2]) -> f32 {
    let bits = u32::from(u16::from_le_bytes(bytes));
    let (sign, exponent, fraction) = ((bits & 0x8000) << 16, bits >> 10 & 31, bits & 0x3ff);
    match exponent {
        // subnormal: the fraction counts steps of 2^-24
        0 => f32::from_bits(sign | (fraction as f32 * f32::from_bits(0x3380_0000)).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}
