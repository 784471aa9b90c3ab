//! The prompts: one typed template for each kind of request.
//!
//! They are short and plain, because small models do not follow more than one sentence, and because every token of them is
//! time before the first word. What is asked about stands last or goes into the mouth of the model as the beginning of
//! its answer. Only visible text gets in.

use crdt::margin::{ProposalKind, Request, RequestKind};
use model::{ChatMessage, GenerateRequest, SamplingParams, Shape, StopCondition, Turn};

use crate::context::{Budget, Setting, first_tokens, last_tokens, steady_end};
use crate::writer::Form;
use crate::writer::script::closing_quote;

/// What a chat template puts around the messages, in tokens, with room for a longer one than usual.
const TEMPLATE_TOKENS: usize = 48;

/// A summary may read so many times longer than other answers before its first word.
pub const SUMMARY_PATIENCE: usize = 3;

/// A title or heading that is longer says nothing about the text at hand.
const HEADING_TOKENS: usize = 24;

/// What a request comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// What the model is asked.
    pub generate: GenerateRequest,
    /// What accepting the answer does.
    pub kind: ProposalKind,
    /// Whether the answer stands for the selection, or goes to the caret at its end.
    pub at_selection: bool,
    /// How the answer begins, before what the model adds.
    pub opening: &'static str,
    /// What becomes of the model's text.
    pub form: Form,
    /// How the text before the place begins, for [`Task::begin`] of the next one.
    pub begin: String,
}

/// Why there is no prompt, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// What is asked about must be read whole, and does not fit.
    #[error(
        "the selection has at least {tokens} tokens and this model takes at most {limit}: select less text or use a model with a larger context"
    )]
    TooLong {
        /// Tokens of selection and instruction, or fewer if they were not worth counting.
        tokens: usize,
        /// Tokens that may be.
        limit: usize,
    },
    /// There is nothing to work on.
    #[error("{0}")]
    Nothing(&'static str),
}

/// A request and where it stands.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// What is asked for.
    pub kind: RequestKind,
    /// In the asker's words.
    pub instruction: &'a str,
    /// Where.
    pub setting: &'a Setting,
    /// Where chance starts.
    pub seed: u64,
    /// How often the model has answered nothing so far.
    pub attempt: u32,
    /// Where the text before the place began the last time.
    pub begin: Option<Begin<'a>>,
}

/// Where the text of an earlier prompt began: beginning there again saves the model from reading it again.
#[derive(Debug, Clone, Copy)]
pub struct Begin<'a> {
    /// How it began.
    pub text: &'a str,
    /// So many tokens it may be longer for it.
    pub extra: usize,
}

/// So many characters of it tell a beginning from others.
const BEGIN_CHARS: usize = 64;

impl<'a> Task<'a> {
    /// The task of a request.
    #[must_use]
    pub fn new(request: &'a Request, setting: &'a Setting, seed: u64, attempt: u32) -> Self {
        Self {
            kind: request.kind,
            instruction: request.instruction.trim(),
            setting,
            seed,
            attempt,
            begin: None,
        }
    }
}

/// How many tokens an answer of this kind may have, for what is selected.
#[must_use]
pub fn answer_tokens(kind: RequestKind, selected: usize) -> usize {
    match kind {
        RequestKind::Continue => 96,
        RequestKind::Summarise => 140,
        RequestKind::Brainstorm => 180,
        RequestKind::Ask if selected == 0 => 280,
        RequestKind::Rewrite
        | RequestKind::Ask
        | RequestKind::Caption
        | RequestKind::Transcribe
        | RequestKind::Check => selected + selected / 2 + 64,
    }
}

/// Makes the prompt for a task. `count` counts tokens.
///
/// # Errors
/// [`PromptError`], with words for the one who asked.
pub fn build(task: Task<'_>, budget: Budget, count: &dyn Fn(&str) -> usize) -> Result<Prompt, PromptError> {
    let maker = Maker { task, budget, count };
    match task.kind {
        RequestKind::Continue => maker.continuation(),
        RequestKind::Rewrite => maker.rewriting("Rewrite this text so that it is clear and correct."),
        RequestKind::Summarise => maker.summary(),
        RequestKind::Brainstorm => maker.ideas(),
        RequestKind::Ask if task.setting.selection.is_empty() => maker.answer(),
        RequestKind::Ask if is_question(task.instruction) => maker.comment(),
        RequestKind::Ask => maker.rewriting("Improve this text."),
        RequestKind::Caption | RequestKind::Transcribe | RequestKind::Check => {
            Err(PromptError::Nothing("no text model answers this kind of request"))
        }
    }
}

/// Whether an instruction asks for one of two words (`Is this formal, yes or no?`).
fn is_yes_or_no(instruction: &str) -> bool {
    let words = instruction.trim_end_matches(|char: char| !char.is_alphanumeric());
    words.to_lowercase().ends_with("yes or no")
}

/// Whether an instruction wants to know something, and not to have something changed.
fn is_question(instruction: &str) -> bool {
    if is_yes_or_no(instruction) {
        return true;
    }
    const POLITE: [&str; 4] = ["can you", "could you", "would you", "will you"];
    let lower = instruction.to_lowercase();
    instruction.ends_with('?') && !POLITE.iter().any(|polite| lower.starts_with(polite))
}

struct Maker<'a> {
    task: Task<'a>,
    budget: Budget,
    count: &'a dyn Fn(&str) -> usize,
}

impl Maker<'_> {
    /// The model goes on from the text as if it had written it.
    fn continuation(&self) -> Result<Prompt, PromptError> {
        let Setting {
            before, selection, ..
        } = self.task.setting;
        let told = match self.task.instruction {
            "" => "Continue this document.".to_owned(),
            instruction => format!("Continue this document. {instruction}"),
        };
        let text = if selection.is_empty() {
            before.clone()
        } else {
            format!("{before}{selection}")
        };
        let asked = join(&[&self.whereabouts(), &told]);
        let room = self.room(&asked);
        let prefix = self.preceding(text.trim_end(), room);
        if prefix.is_empty() {
            let about = if self.task.setting.title.is_empty() && self.task.instruction.is_empty() {
                return Err(PromptError::Nothing(
                    "there is nothing to continue yet: write a title or a first sentence, or say what to write about",
                ));
            } else {
                join(&[
                    &self.whereabouts(),
                    &format!("Write the first paragraph. {}", self.task.instruction),
                ])
            };
            return Ok(self.prompt(ProposalKind::Insert, vec![ChatMessage::user(about)], bare(240)));
        }
        let system =
            ChatMessage::system("You write the next sentences of a document. Answer with the text only.");
        let form = Form {
            enough: 160,
            ..Form::default()
        };
        let mut prompt = self.prompt(ProposalKind::Insert, vec![system, ChatMessage::user(asked)], form);
        prompt.begin = prefix.chars().take(BEGIN_CHARS).collect();
        // in the middle of a paragraph nothing but its next words has a place
        if !text.ends_with('\n') {
            prompt.generate.shape = Some(Shape::Paragraph { announced: false });
        }
        prompt.generate.answer_prefix = Some(prefix);
        Ok(prompt)
    }

    /// The selection in other words.
    fn rewriting(&self, usual: &str) -> Result<Prompt, PromptError> {
        let selection = self.selection("select the text that is to be rewritten")?;
        let told = match self.task.instruction {
            "" => usual,
            instruction => instruction,
        };
        let message = ChatMessage::user(format!("{told}\n\n{selection}"));
        let form = Form {
            quoted: begins_with_quote(&selection),
            ..bare(0)
        };
        let mut prompt = self.prompt(ProposalKind::Replace, vec![message], form);
        prompt.at_selection = true;
        prompt.generate.params = self.params(0.0);
        let paragraph = Shape::Paragraph { announced: false };
        if self.task.instruction.is_empty() && paragraph.fits(&selection).unwrap_or(false) {
            // a paragraph for a paragraph, whatever else the model would like to add
            prompt.generate.shape = Some(Shape::Paragraph { announced: true });
        } else if !selection.contains('\n') {
            prompt.generate.stop.strings.push("\n\n".to_owned());
        }
        Ok(prompt)
    }

    fn summary(&self) -> Result<Prompt, PromptError> {
        let told = match self.task.instruction {
            "" => "Summarise this text in one or two sentences.".to_owned(),
            instruction => format!("Summarise this text in one or two sentences. {instruction}"),
        };
        let text = if self.task.setting.selection.is_empty() {
            let Setting { before, after, .. } = self.task.setting;
            let whole = format!("{before}{after}");
            // All of it is asked about, so it is cut to what the model can take, not to what it reads quickly.
            let limit = self
                .budget
                .window
                .saturating_sub(self.taken(&told))
                .min(SUMMARY_PATIENCE * self.budget.quick);
            first_tokens(&whole, limit, self.count)
        } else {
            self.selection("")?
        };
        if text.trim().is_empty() {
            return Err(PromptError::Nothing("there is no text to summarise yet"));
        }
        let message = ChatMessage::user(format!("{}\n\n{told}", text.trim()));
        let mut prompt = self.prompt(ProposalKind::Comment, vec![message], bare(400));
        prompt.at_selection = true;
        prompt.generate.params = self.params(0.0);
        prompt.generate.stop.strings.push("\n\n".to_owned());
        Ok(prompt)
    }

    /// A list, begun for the model.
    fn ideas(&self) -> Result<Prompt, PromptError> {
        let Setting { title, selection, .. } = self.task.setting;
        let topic = [self.task.instruction, selection, title]
            .into_iter()
            .find(|topic| !topic.is_empty());
        let text = self.surroundings(if selection.is_empty() { "" } else { selection });
        let told = match topic {
            Some(topic) if topic != selection => format!("Write a list of five short ideas: {topic}"),
            _ if text.is_empty() => {
                return Err(PromptError::Nothing(
                    "say what the ideas should be about, or write a title first",
                ));
            }
            _ => "Write a list of five short ideas about this text.".to_owned(),
        };
        let message = ChatMessage::user(join(&[&text, &told]));
        let mut prompt = self.prompt(ProposalKind::Comment, vec![message], bare(0));
        prompt.at_selection = true;
        prompt.opening = "1.";
        prompt.generate.answer_prefix = Some("1.".to_owned());
        prompt
            .generate
            .stop
            .strings
            .extend(["\n\n", "\n6."].map(str::to_owned));
        Ok(prompt)
    }

    /// An instruction without a selection: what it asks for is put in at the caret.
    fn answer(&self) -> Result<Prompt, PromptError> {
        if self.task.instruction.is_empty() {
            return Err(PromptError::Nothing(
                "say what to write, or select text and say what to change",
            ));
        }
        let message = ChatMessage::user(join(&[&self.surroundings(""), self.task.instruction]));
        Ok(self.prompt(ProposalKind::Insert, vec![message], bare(800)))
    }

    /// A question about the selection: the answer stands beside it.
    fn comment(&self) -> Result<Prompt, PromptError> {
        let selection = self.selection("")?;
        let message = ChatMessage::user(format!("{selection}\n\n{}", self.task.instruction));
        let mut prompt = self.prompt(ProposalKind::Comment, vec![message], bare(400));
        prompt.at_selection = true;
        if is_yes_or_no(self.task.instruction) {
            prompt.generate.shape = Some(Shape::Choices(["Yes", "No"].map(str::to_owned).to_vec()));
        }
        Ok(prompt)
    }

    fn prompt(&self, kind: ProposalKind, messages: Vec<ChatMessage>, form: Form) -> Prompt {
        let selected = (self.count)(&self.task.setting.selection);
        Prompt {
            generate: GenerateRequest {
                messages,
                answer_prefix: None,
                params: self.params(0.6),
                stop: StopCondition {
                    max_tokens: answer_tokens(self.task.kind, selected),
                    ..StopCondition::default()
                },
                shape: None,
                adapter: None,
                turn: Turn::default(),
            },
            kind,
            at_selection: false,
            opening: "",
            begin: String::new(),
            form,
        }
    }

    /// Warmer after each empty answer.
    fn params(&self, temperature: f32) -> SamplingParams {
        let again = if self.task.attempt == 0 { 0.0 } else { 0.3 };
        SamplingParams {
            temperature: temperature + again,
            ..SamplingParams::lively(self.task.seed.wrapping_add(u64::from(self.task.attempt)))
        }
    }

    /// The whole selection, if the model can take it.
    fn selection(&self, missing: &'static str) -> Result<String, PromptError> {
        let selection = &self.task.setting.selection;
        if selection.is_empty() {
            return Err(PromptError::Nothing(missing));
        }
        let tokens = (self.count)(selection) + self.taken(self.task.instruction);
        if tokens > self.budget.window {
            return Err(PromptError::TooLong {
                tokens,
                limit: self.budget.window,
            });
        }
        Ok(selection.clone())
    }

    /// Title and headings.
    fn whereabouts(&self) -> String {
        let Setting { title, headings, .. } = self.task.setting;
        let path: Vec<String> = std::iter::once(title)
            .chain(headings)
            .filter(|heading| !heading.trim().is_empty())
            .map(|heading| first_tokens(heading.trim(), HEADING_TOKENS, self.count))
            .collect();
        if path.is_empty() {
            String::new()
        } else {
            format!("Title: {}", path.join(" – "))
        }
    }

    /// Title, headings, and the text around the place: more of what stands before it than of what follows. A selection
    /// stands in its place.
    fn surroundings(&self, selection: &str) -> String {
        let Setting { before, after, .. } = self.task.setting;
        let whereabouts = self.whereabouts();
        let room = self.room(&whereabouts);
        if !selection.is_empty() {
            return join(&[&whereabouts, &first_tokens(selection, room, self.count)]);
        }
        let following = first_tokens(after, room / 4, self.count);
        let room = room.saturating_sub((self.count)(&following));
        let preceding = last_tokens(before, room, self.count);
        join(&[&whereabouts, &format!("{preceding}{following}")])
    }

    /// The end of the text before the place.
    fn preceding(&self, text: &str, room: usize) -> String {
        match self.task.begin.filter(|begin| !begin.text.is_empty()) {
            Some(begin) => steady_end(text, room, (begin.text, room + begin.extra), self.count),
            None => last_tokens(text, room, self.count),
        }
    }

    /// Tokens that are left for surroundings beside `text` and the instruction.
    fn room(&self, text: &str) -> usize {
        self.budget
            .quick
            .saturating_sub(self.taken(text) + (self.count)(self.task.instruction))
    }

    fn taken(&self, text: &str) -> usize {
        (self.count)(text) + TEMPLATE_TOKENS
    }
}

const fn bare(enough: usize) -> Form {
    Form {
        bare: true,
        quoted: false,
        enough,
    }
}

/// Whether the first character of a text, its Markdown marks aside, is a quotation mark.
fn begins_with_quote(text: &str) -> bool {
    let bare = text.trim_start_matches(|char: char| char.is_whitespace() || "*_~>#-+[(".contains(char));
    bare.chars()
        .next()
        .is_some_and(|char| closing_quote(char).is_some())
}

/// The parts that are not empty, as paragraphs.
fn join(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts
        .iter()
        .map(|part| part.trim())
        .filter(|part| !part.is_empty())
        .collect();
    parts.join("\n\n")
}

#[cfg(test)]
mod tests;
