//! Messages to prompt, as the model's own Jinja template says, in the dialect that Hugging Face renders.
use minijinja::value::{Kwargs, merge_maps};
use minijinja::{Environment, Error, ErrorKind, Value, context};
use serde::Serialize;

use crate::generate::{ChatMessage, ChatRole};

/// A model's chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    special: Vec<(String, String)>,
    /// Whether it takes standing instructions as a turn of their own.
    takes_system: bool,
}

const NAME: &str = "chat";

impl ChatTemplate {
    /// Reads a template. `special` are texts such as `bos_token` by name.
    ///
    /// # Errors
    /// Where the template is wrong, in words.
    pub fn new(source: &str, special: Vec<(String, String)>) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_filter("tojson", to_json);
        environment
            .add_template_owned(NAME, without_generation_marks(source))
            .map_err(|error| words(&error))?;
        let mut template = Self {
            environment,
            special,
            takes_system: true,
        };
        template.takes_system = template.probe_system();
        Ok(template)
    }

    /// Whether standing instructions get into the prompt as a turn of their own. A template that can say nothing at all
    /// is left to complain when it is used.
    fn probe_system(&self) -> bool {
        let (system, user) = (
            ChatMessage::system("standing words"),
            ChatMessage::user("asked words"),
        );
        let with = self.write(&[system, user.clone()], Some(0));
        with.is_ok_and(|text| text.contains("standing words")) || self.write(&[user], Some(0)).is_err()
    }

    /// Everything that a chat of all roles makes it write, for finding out which marks it uses.
    #[must_use]
    pub fn specimen(&self) -> String {
        let turns = [
            ChatMessage::system("a"),
            ChatMessage::user("a"),
            ChatMessage::assistant("a"),
            ChatMessage::user("a"),
        ];
        self.render(&turns, Some(0)).unwrap_or_default()
    }

    /// The prompt up to where the assistant's answer begins. `now` is in seconds since 1970 (UTC); without it
    /// templates that tell the date use their own default. Where a template knows no standing instructions (Gemma 2),
    /// they are put before what the person says first.
    ///
    /// # Errors
    /// The template's own refusal (roles that do not alternate, say), or where it fails.
    pub fn render(&self, messages: &[ChatMessage], now: Option<u64>) -> Result<String, String> {
        if self.takes_system {
            self.write(messages, now)
        } else {
            self.write(&without_system(messages), now)
        }
    }

    fn write(&self, messages: &[ChatMessage], now: Option<u64>) -> Result<String, String> {
        let special: Value = self
            .special
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        let dated = now.map(|now| {
            let format = Value::from_function(move |format: String| strftime(&format, now));
            context! { strftime_now => format }
        });
        let messages = context! { messages => messages, add_generation_prompt => true };
        let values = merge_maps([messages, special, dated.unwrap_or_else(|| context! {})]);
        let template = self
            .environment
            .get_template(NAME)
            .map_err(|error| words(&error))?;
        template.render(values).map_err(|error| words(&error))
    }
}

/// The same chat with standing instructions in the next turn of the person.
fn without_system(messages: &[ChatMessage]) -> Vec<ChatMessage> {
    let mut turns = Vec::with_capacity(messages.len());
    let mut standing: Vec<&str> = Vec::new();
    for message in messages {
        match message.role {
            ChatRole::System => standing.push(&message.content),
            ChatRole::User => {
                standing.push(&message.content);
                turns.push(ChatMessage::user(std::mem::take(&mut standing).join("\n\n")));
            }
            ChatRole::Assistant => turns.push(message.clone()),
        }
    }
    if !standing.is_empty() {
        turns.push(ChatMessage::user(standing.join("\n\n")));
    }
    turns
}

fn words(error: &Error) -> String {
    let what = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) if error.kind() != ErrorKind::InvalidOperation => format!("{what} (line {line})"),
        _ => what,
    }
}

/// `{% generation %}` … marks what a model is trained on; to the text it means nothing.
fn without_generation_marks(source: &str) -> String {
    let mut result = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        let Some(length) = tag.find("%}") else { break };
        let (tag, after) = tag.split_at(length);
        result.push_str(before);
        let word = tag.trim_start_matches("{%").trim_matches(['-', '+']).trim();
        match word {
            "generation" => result.push_str(&tag.replacen("generation", "if true", 1)),
            "endgeneration" => result.push_str(&tag.replacen("endgeneration", "endif", 1)),
            _ => result.push_str(tag),
        }
        rest = after;
    }
    result.push_str(rest);
    result
}

/// Python's `json.dumps(value, ensure_ascii=False, indent=…)`: spaces after separators, nothing escaped for HTML.
#[expect(clippy::needless_pass_by_value, reason = "minijinja hands over its arguments")]
fn to_json(value: Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let fail = |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    let mut bytes = Vec::new();
    match indent {
        Some(width) => {
            let spaces = " ".repeat(width);
            let format = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
            value
                .serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, format))
                .map_err(fail)?;
        }
        None => value
            .serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, OneLine))
            .map_err(fail)?,
    }
    String::from_utf8(bytes).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// Python's way of writing JSON on one line.
struct OneLine;

impl serde_json::ser::Formatter for OneLine {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

/// The codes of `strftime` that templates use, in UTC and English. Others stay as they are.
fn strftime(format: &str, now: u64) -> String {
    let (year, month, day) = civil(now / 86_400);
    let name = |list: &[&'static str], index: u64| -> &'static str {
        list.get(index as usize).copied().unwrap_or_default()
    };
    let (month_name, day_name) = (name(&MONTHS, month - 1), name(&DAYS, now / 86_400 % 7));
    let mut text = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some('Y') => text.push_str(&year.to_string()),
            Some('m') => text.push_str(&format!("{month:02}")),
            Some('d') => text.push_str(&format!("{day:02}")),
            Some('B') => text.push_str(month_name),
            Some('b') => text.push_str(month_name.get(..3).unwrap_or_default()),
            Some('A') => text.push_str(day_name),
            Some('a') => text.push_str(day_name.get(..3).unwrap_or_default()),
            Some('H') => text.push_str(&format!("{:02}", now / 3600 % 24)),
            Some('M') => text.push_str(&format!("{:02}", now / 60 % 60)),
            Some('S') => text.push_str(&format!("{:02}", now % 60)),
            Some('%') | None => text.push('%'),
            Some(other) => text.extend(['%', other]),
        }
    }
    text
}

/// Days since 1970-01-01 to (year, month, day); Howard Hinnant's `civil_from_days` for days after 1970.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let part = (5 * day_of_year + 2) / 153;
    let month = if part < 10 { part + 3 } else { part - 9 };
    (
        year_of_era + era * 400 + u64::from(month <= 2),
        month,
        day_of_year - (153 * part + 2) / 5 + 1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str, messages: &[ChatMessage], now: Option<u64>) -> Result<String, String> {
        let special = vec![("bos_token".to_owned(), "<s>".to_owned())];
        ChatTemplate::new(source, special)?.render(messages, now)
    }

    #[test]
    fn blocks_leave_no_lines_and_python_methods_work() {
        let source = "{{ bos_token }}\n{%- for m in messages %}\n  {% if m['role'] == 'user' %}\n[{{ m.content.strip().upper() }}]\n  {% endif %}\n{% endfor %}\n{% if add_generation_prompt %}{{ '<a>' }}{% endif %}";
        let text = render(
            source,
            &[ChatMessage::user(" hi "), ChatMessage::assistant("no")],
            None,
        )
        .unwrap();
        assert_eq!(text, "<s>[HI]\n<a>");
    }

    #[test]
    fn a_template_refuses_in_its_own_words() {
        let error = render("{{ raise_exception('roles must alternate') }}", &[], None).unwrap_err();
        assert_eq!(error, "roles must alternate");
        assert!(ChatTemplate::new("{% if %}", vec![]).is_err());
    }

    #[test]
    fn standing_instructions_go_into_the_first_turn_where_there_is_no_role_for_them() {
        // As Gemma 2's.
        let refuses = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}\
            {% for m in messages %}[{{ m.role }}: {{ m.content }}]{% endfor %}";
        let drops =
            "{% for m in messages if m.role != 'system' %}[{{ m.role }}: {{ m.content }}]{% endfor %}";
        let takes = "{% for m in messages %}[{{ m.role }}: {{ m.content }}]{% endfor %}";
        let chat = [
            ChatMessage::system("Be brief."),
            ChatMessage::user("Hi"),
            ChatMessage::assistant("Ho"),
        ];
        for source in [refuses, drops] {
            assert_eq!(
                render(source, &chat, None).unwrap(),
                "[user: Be brief.\n\nHi][assistant: Ho]"
            );
            assert_eq!(render(source, &chat[..1], None).unwrap(), "[user: Be brief.]");
        }
        assert_eq!(
            render(takes, &chat, None).unwrap(),
            "[system: Be brief.][user: Hi][assistant: Ho]"
        );
    }

    #[test]
    fn json_is_written_as_python_does() {
        let text = render("{{ {'a': [1, \"é<b>'\"], 'n': none} | tojson }}", &[], None).unwrap();
        assert_eq!(text, r#"{"a": [1, "é<b>'"], "n": null}"#);
        let text = render("{{ {'a': [1]} | tojson(indent=4) }}", &[], None).unwrap();
        assert_eq!(text, "{\n    \"a\": [\n        1\n    ]\n}");
    }

    #[test]
    fn training_marks_mean_nothing() {
        let text = render("x {%- generation %} y {%- endgeneration -%} z", &[], None).unwrap();
        assert_eq!(text, "x yz");
    }

    #[test]
    fn the_date_is_the_one_given() {
        let source = "{% if strftime_now is defined %}{{ strftime_now('%A %d %b %Y %H:%M:%S') }}{% else %}none{% endif %}";
        assert_eq!(
            render(source, &[], Some(1_709_210_096)).unwrap(),
            "Thursday 29 Feb 2024 12:34:56"
        );
        assert_eq!(
            render(source, &[], Some(951_782_400)).unwrap(),
            "Tuesday 29 Feb 2000 00:00:00"
        );
        assert_eq!(
            render(source, &[], Some(0)).unwrap(),
            "Thursday 01 Jan 1970 00:00:00"
        );
        assert_eq!(render(source, &[], None).unwrap(), "none");
    }
}
