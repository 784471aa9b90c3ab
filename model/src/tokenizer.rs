//! Text to tokens, and tokens back to text piece by piece without ever cutting a character.
use std::path::Path;
use std::sync::Arc;

use tokenizers::Tokenizer;
use tokenizers::decoders::DecoderWrapper;

/// A model's tokenizer.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    inner: Arc<Tokenizer>,
    special: Arc<[String]>,
    /// Texts that mean something to the chat template, the longest first.
    marks: Arc<[String]>,
    spelling: Spelling,
    /// A token for one ASCII byte, where bytes have tokens of their own.
    byte: Option<u32>,
}

/// What stands for a space in SentencePiece's tokens.
const SPACE: char = '\u{2581}';

/// How tokens spell text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// Every character of a token stands for a byte, as in GPT-2.
    Bytes,
    /// As the tokenizer's decoder says; bytes that no token covers have tokens such as `<0xE2>`.
    Fallback,
    /// As the tokenizer's decoder says.
    Pieces,
}

impl TextTokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// What is wrong with it, in the library's words.
    pub fn open(file: &Path) -> Result<Self, String> {
        Tokenizer::from_file(file)
            .map(Self::new)
            .map_err(|error| error.to_string())
    }

    fn new(mut inner: Tokenizer) -> Self {
        // exported settings for training batches would cut or fill prompts
        let _ = inner.with_truncation(None);
        inner.with_padding(None);
        let spelling = match inner.get_decoder() {
            Some(DecoderWrapper::ByteLevel(_)) => Spelling::Bytes,
            Some(DecoderWrapper::ByteFallback(_)) => Spelling::Fallback,
            Some(DecoderWrapper::Sequence(parts)) => {
                let parts = parts.get_decoders();
                if matches!(parts, [DecoderWrapper::ByteLevel(_)]) {
                    Spelling::Bytes
                } else if parts
                    .iter()
                    .any(|part| matches!(part, DecoderWrapper::ByteFallback(_)))
                {
                    Spelling::Fallback
                } else {
                    Spelling::Pieces
                }
            }
            _ => Spelling::Pieces,
        };
        let special = inner
            .get_added_tokens_decoder()
            .into_values()
            .filter(|token| token.special)
            .map(|token| token.content);
        let special: Vec<String> = special.filter(|text| !text.is_empty()).collect();
        Self {
            marks: longest_first(special.clone()),
            special: special.into(),
            byte: inner.token_to_id("<0x41>"),
            inner: Arc::new(inner),
            spelling,
        }
    }

    /// Notes which added tokens a chat template uses, so that [`Self::defuse`] covers them even when they are not
    /// declared special. `template` is its source and whatever it has rendered.
    #[must_use]
    pub fn guarding(mut self, template: &[&str]) -> Self {
        let used = |text: &str| template.iter().any(|template| template.contains(text));
        let added = self
            .inner
            .get_added_tokens_decoder()
            .into_values()
            .filter(|token| !token.special && is_mark(&token.content) && used(&token.content))
            .map(|token| token.content);
        self.marks = longest_first(self.special.iter().cloned().chain(added).collect());
        self
    }

    /// The tokens of a text in which the texts of special tokens mean those tokens, as a chat template writes them.
    ///
    /// # Errors
    /// The library's words; does not happen with usual tokenizers.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        let encoding = self
            .inner
            .encode_fast(text, false)
            .map_err(|error| error.to_string())?;
        Ok(encoding.get_ids().to_vec())
    }

    /// How many tokens a text is; 0 if it cannot be told.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        self.inner
            .encode_fast(text, false)
            .map_or(0, |encoding| encoding.len())
    }

    /// The id of a token by its text.
    #[must_use]
    pub fn id_of(&self, text: &str) -> Option<u32> {
        self.inner.token_to_id(text)
    }

    /// A person's text made safe for a chat template: texts of special tokens in it, and of others that the template
    /// uses, get a space after their first character, so that what somebody wrote in a document cannot end its turn
    /// or start another.
    #[must_use]
    pub fn defuse(&self, text: &str) -> String {
        let mut safe = text.to_owned();
        for mark in self.marks.iter() {
            if safe.contains(mark.as_str()) {
                let first = mark.chars().next().map_or(0, char::len_utf8);
                let (start, rest) = mark.split_at(first);
                safe = safe.replace(mark.as_str(), &format!("{start} {rest}"));
            }
        }
        safe
    }

    /// A stream of text for one answer.
    #[must_use]
    pub fn detokenizer(&self) -> Detokenizer {
        Detokenizer {
            tokenizer: self.clone(),
            bytes: Vec::new(),
            window: Vec::new(),
            shown: 0,
        }
    }

    /// The bytes of each token as they stand in the text, by its id; nothing for ids without one. Special tokens and `ends` are
    /// no text: they begin with a byte that no text has, as `toktrie` wants it.
    ///
    /// # Errors
    /// Words, for tokenizers whose tokens do not tell their bytes by themselves (WordPiece, for example).
    pub(crate) fn token_bytes(&self, ends: &[u32]) -> Result<Vec<Vec<u8>>, String> {
        if self.spelling == Spelling::Pieces {
            return Err(
                "this model's tokenizer does not tell which bytes its tokens stand for; byte-level BPE and \
                        SentencePiece with byte fallback do"
                    .to_owned(),
            );
        }
        let ids = self.inner.get_vocab(true).into_values();
        let count = ids.max().map_or(0, |last| last as usize + 1);
        Ok((0u32..)
            .take(count)
            .map(|id| match self.inner.id_to_token(id) {
                Some(text) if self.is_special(&text) || ends.contains(&id) => {
                    [&[toktrie::TokTrie::SPECIAL_TOKEN_MARKER], text.as_bytes()].concat()
                }
                _ => self.bytes_of(id),
            })
            .collect())
    }

    /// The bytes of a token that is no special one.
    pub(crate) fn bytes_of(&self, token: u32) -> Vec<u8> {
        let text = self.inner.id_to_token(token).unwrap_or_default();
        if self.spelling == Spelling::Bytes {
            let mut bytes = Vec::new();
            push_bytes(&text, &mut bytes);
            return bytes;
        }
        match self.byte_of_token(token) {
            Some(byte) => vec![byte],
            None => text.replace(SPACE, " ").into_bytes(),
        }
    }

    fn is_special(&self, token: &str) -> bool {
        self.special.iter().any(|special| special == token)
    }

    /// The byte that a token stands for, where bytes have tokens of their own.
    fn byte_of_token(&self, token: u32) -> Option<u8> {
        if self.spelling != Spelling::Fallback {
            return None;
        }
        let text = self.inner.id_to_token(token)?;
        let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
        u8::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 2)
    }
}

/// Whether a text can be a mark in a template rather than an ordinary word or space.
fn is_mark(text: &str) -> bool {
    text.trim().chars().count() >= 3
        && text
            .chars()
            .any(|char| !char.is_alphanumeric() && !char.is_whitespace())
}

fn longest_first(mut texts: Vec<String>) -> Arc<[String]> {
    texts.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    texts.dedup();
    texts.into()
}

/// Turns tokens into text as they come; what may be part of a character waits for its rest.
#[derive(Debug)]
pub struct Detokenizer {
    tokenizer: TextTokenizer,
    /// Bytes of a character that is not whole yet, where tokens are bytes.
    bytes: Vec<u8>,
    /// Others: the last tokens, decoded together because some decoders look at neighbours.
    window: Vec<u32>,
    /// How many of `window` are in the text already.
    shown: usize,
}

/// Tokens that one character has at most when every byte is a token of its own.
const LONGEST_CHARACTER: usize = 4;

impl Detokenizer {
    /// The text that this token completes. Special tokens have none.
    pub fn push(&mut self, token: u32) -> String {
        if self.tokenizer.spelling == Spelling::Bytes {
            let text = self.tokenizer.inner.id_to_token(token).unwrap_or_default();
            if !self.tokenizer.is_special(&text) {
                push_bytes(&text, &mut self.bytes);
            }
            return take_whole(&mut self.bytes);
        }
        if let Some(byte) = self.tokenizer.byte_of_token(token) {
            self.bytes.push(byte);
            // What follows is not at the beginning, where decoders drop a space; which byte came before does not matter.
            self.window.clear();
            self.window.extend(self.tokenizer.byte);
            self.shown = self.window.len();
            return take_whole(&mut self.bytes);
        }
        let broken = String::from_utf8_lossy(&std::mem::take(&mut self.bytes)).into_owned();
        broken + &self.piece(token)
    }

    fn piece(&mut self, token: u32) -> String {
        self.window.push(token);
        let text = self.pending();
        let waiting = self.window.len() - self.shown;
        if text.ends_with(char::REPLACEMENT_CHARACTER) && waiting <= LONGEST_CHARACTER {
            return String::new();
        }
        if !text.is_empty() {
            self.window.drain(..self.shown);
            self.shown = self.window.len();
        }
        text
    }

    /// What is left at the end; a character without its end becomes U+FFFD.
    #[must_use]
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned() + &self.pending()
    }

    /// The text of the window's new tokens: the whole window's without that of its shown part.
    fn pending(&self) -> String {
        if self.shown == self.window.len() {
            return String::new();
        }
        let decode = |ids: &[u32]| self.tokenizer.inner.decode(ids, true).unwrap_or_default();
        let before = decode(self.window.get(..self.shown).unwrap_or_default());
        let whole = decode(&self.window);
        // a decoder may change what it said before; what was shown stays, and what is new must not be lost
        let same = whole
            .bytes()
            .zip(before.bytes())
            .take_while(|(a, b)| a == b)
            .count();
        let same = (0..=same)
            .rev()
            .find(|at| whole.is_char_boundary(*at))
            .unwrap_or(0);
        whole.get(same..).unwrap_or_default().to_owned()
    }
}

/// Undoes GPT-2's writing of bytes as printable characters. A character outside that alphabet stands for
/// itself: it comes from a token that somebody added as plain text.
fn push_bytes(token: &str, bytes: &mut Vec<u8>) {
    for character in token.chars() {
        match byte_of(character) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// GPT-2's alphabet: printable Latin-1 bytes are themselves, the 68 others follow from U+0100 on in order.
fn byte_of(character: char) -> Option<u8> {
    let code = u32::from(character);
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => u8::try_from(code).ok(),
        0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        0x121..=0x142 => u8::try_from(code - 0x121 + 0x7f).ok(),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// Takes everything but an unfinished character from the front; bytes that can never become one turn into U+FFFD.
fn take_whole(bytes: &mut Vec<u8>) -> String {
    let mut text = String::new();
    loop {
        match std::str::from_utf8(bytes) {
            Ok(rest) => {
                text.push_str(rest);
                bytes.clear();
                return text;
            }
            Err(error) => {
                let good = error.valid_up_to();
                text.push_str(&String::from_utf8_lossy(bytes.get(..good).unwrap_or_default()));
                let Some(bad) = error.error_len() else {
                    bytes.drain(..good);
                    return text;
                };
                text.push(char::REPLACEMENT_CHARACTER);
                bytes.drain(..good + bad);
            }
        }
    }
}

#[cfg(test)]
mod tests;
