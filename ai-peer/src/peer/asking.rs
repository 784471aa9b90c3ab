//! Asking the model. Counting and cutting tokens takes its time, so it is done on a thread that may block.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crdt::margin::{Request, RequestKind};
use model::{Chunk, GenerateError, GenerateRequest, Generation, Generator, Priority, Turn};
use tokio::task::{JoinHandle, spawn_blocking};

use super::desk::Desk;
use crate::context::{Budget, Setting, fewest_tokens};
use crate::prompt::{self, Begin, Prompt, PromptError, Task};
use crate::wardrobe::{Wardrobe, Worn};

/// Texts shorter than this are counted anew each time.
const WORTH_KEEPING: usize = 128;

/// A prompt, and about how many tokens it has.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) prompt: Prompt,
    pub(super) tokens: usize,
    pub(super) worn: Worn,
}

/// What a job waits for.
#[derive(Debug)]
pub(super) enum News {
    /// The prompt, or words about why there is none.
    Prepared(Box<Result<Prepared, String>>),
    /// Whether the model has taken the request.
    Asked(Result<Generation, GenerateError>),
    /// What the model wrote.
    Chunk(Option<Result<Chunk, GenerateError>>),
}

/// What a prompt is made of.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) request: Request,
    pub(super) setting: Setting,
    pub(super) seed: u64,
    pub(super) attempt: u32,
    /// How the text before the place began in the last prompt for this document.
    pub(super) begin: String,
    /// How long reading the prompt may take.
    pub(super) patience: Duration,
    /// Says which adapter is worn.
    pub(super) wardrobe: Option<Arc<dyn Wardrobe>>,
}

/// How many tokens of surroundings can be of use at most, on each side.
pub(super) fn surroundings(desk: &Desk, request: &Request) -> usize {
    let budget = Budget::new(
        desk.generator.info().context_length,
        desk.generator.pace().prefill,
        0,
        desk.config.prefill,
    );
    if request.kind == RequestKind::Summarise {
        budget.window.min(prompt::SUMMARY_PATIENCE * budget.quick)
    } else {
        2 * budget.quick // what was read before may be longer
    }
}

/// Makes a prompt.
pub(super) fn prepare(
    generator: Arc<dyn Generator>,
    question: Question,
) -> JoinHandle<Result<Prepared, String>> {
    spawn_blocking(move || {
        let kind = question.request.kind;
        let worn = Worn::choose(question.wardrobe.as_deref(), kind, generator.as_ref())?;
        build(generator.as_ref(), &question, &worn).map_err(|error| error.to_string())
    })
}

fn build(generator: &dyn Generator, question: &Question, worn: &Worn) -> Result<Prepared, PromptError> {
    let Question {
        request,
        setting,
        seed,
        attempt,
        begin,
        patience,
        ..
    } = question;
    let context = generator.info().context_length;
    let least = fewest_tokens(&setting.selection);
    if least > context {
        return Err(PromptError::TooLong {
            tokens: least,
            limit: context,
        });
    }
    let counted: RefCell<HashMap<String, usize>> = RefCell::default();
    let count = |text: &str| {
        if text.len() < WORTH_KEEPING {
            return generator.count_tokens(text);
        }
        if let Some(tokens) = counted.borrow().get(text) {
            return *tokens;
        }
        let tokens = generator.count_tokens(text);
        counted.borrow_mut().insert(text.to_owned(), tokens);
        tokens
    };
    let answer = prompt::answer_tokens(request.kind, count(&setting.selection));
    let budget = Budget::new(context, generator.pace().prefill, answer, *patience);
    let make = |extra| {
        let task = Task {
            begin: Some(Begin { text: begin, extra }),
            ..Task::new(request, setting, *seed, *attempt)
        };
        let mut prompt = prompt::build(task, budget, &count)?;
        prompt.generate.turn = Turn {
            requester: request.by.id.clone(),
            priority: if request.kind == RequestKind::Continue {
                Priority::Typing
            } else {
                Priority::Proposal
            },
        };
        prompt.generate.adapter.clone_from(&worn.adapter);
        let generate = &prompt.generate;
        let messages = generate.messages.iter().map(|message| message.content.as_str());
        let tokens = messages.chain(generate.answer_prefix.as_deref()).map(count).sum();
        let worn = worn.clone();
        Ok(Prepared { prompt, tokens, worn })
    };
    // What the model has read already costs nothing.
    let longer = make(budget.quick)?;
    let to_read = longer
        .tokens
        .saturating_sub(generator.cached_tokens(&longer.prompt.generate));
    if longer.tokens <= budget.quick || to_read <= budget.quick {
        return Ok(longer);
    }
    make(0)
}

/// Puts a request to the model.
pub(super) fn ask(
    generator: Arc<dyn Generator>,
    request: GenerateRequest,
) -> JoinHandle<Result<Generation, GenerateError>> {
    spawn_blocking(move || generator.generate(request))
}
