//! Text that stays text: what Markdown would take for markup is escaped, and little else.

/// Where a text stands.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// Nothing stands before it on its line.
    pub begins_line: bool,
    /// Nothing stands after it on its line.
    pub ends_line: bool,
    /// Its line could begin a block (not so in headings and cells).
    pub block_start: bool,
    /// Between the brackets of a link or image.
    pub in_brackets: bool,
    /// In a table's cell.
    pub in_table: bool,
}

/// A text for a place in a line.
pub(super) fn text(text: &str, place: Place) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied();
    let block_mark = if place.begins_line && place.block_start {
        block_mark(&chars)
    } else {
        None
    };
    let mut escaped = String::with_capacity(text.len() + 8);
    for (index, &char) in chars.iter().enumerate() {
        let before = index.checked_sub(1).and_then(at);
        let after = at(index + 1);
        let edge = (place.begins_line && index == 0) || (place.ends_line && after.is_none());
        if (char.is_control() && char != '\t') || (edge && char.is_whitespace()) {
            escaped.push_str(&entity(char));
            continue;
        }
        // Spaces that stay spaces: those at the edges may be written as entities.
        let spaced = matches!(char, '*' | '_' | '~')
            && index > 1
            && before == Some(' ')
            && after == Some(' ')
            && at(index + 2).is_some();
        let rest = chars.get(index + 1..).unwrap_or_default();
        if block_mark == Some(index) || (!spaced && is_markup(char, before, rest, place)) {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

/// A character by its number.
fn entity(char: char) -> String {
    format!("&#{};", u32::from(char))
}

/// Whether a character could be markup where it stands.
fn is_markup(char: char, before: Option<char>, rest: &[char], place: Place) -> bool {
    let after = rest.first().copied();
    match char {
        '\\' => !after.is_some_and(char::is_alphanumeric), // what follows may become an entity
        '`' | '[' | '~' | '*' => true,
        '_' => !(before.is_some_and(char::is_alphanumeric) && after.is_some_and(char::is_alphanumeric)),
        ']' => place.in_brackets,
        '|' => place.in_table,
        '<' => after != Some(' '),
        '&' => starts_entity(rest),
        '#' => place.ends_line && !place.block_start && after.is_none(), // closes a heading
        _ => false,
    }
}

/// Whether what follows an `&` could make an entity of it.
fn starts_entity(rest: &[char]) -> bool {
    let name = rest
        .iter()
        .take_while(|char| char.is_ascii_alphanumeric() || **char == '#')
        .count();
    // The text may go on behind a mark, so an end is as good as a semicolon.
    name > 0 && rest.get(name).is_none_or(|char| *char == ';')
}

/// The index of the character to escape so that a line does not begin a heading, quote, list, rule or table.
fn block_mark(chars: &[char]) -> Option<usize> {
    let spaced = |index: usize| chars.get(index).is_none_or(|char| char.is_whitespace());
    let only = |set: &[char]| {
        chars
            .iter()
            .all(|char| set.contains(char) || char.is_whitespace())
    };
    match chars.first()? {
        '>' => Some(0),
        '#' => {
            let level = chars.iter().take_while(|char| **char == '#').count();
            (level <= 6 && spaced(level)).then_some(0)
        }
        '+' | '-' if spaced(1) => Some(0),
        '-' | '|' | ':' if only(&['-', '|', ':']) => Some(0), // a rule, an underline or a table's second row
        '=' if only(&['=']) => Some(0),
        digit if digit.is_ascii_digit() => {
            let digits = chars.iter().take_while(|char| char.is_ascii_digit()).count();
            let point = matches!(chars.get(digits), Some('.' | ')'));
            (digits <= 9 && point && spaced(digits + 1)).then_some(digits)
        }
        _ => None,
    }
}

/// A code span. `None` if no code span can say it: for some backslashes in tables, and for a bracket within brackets, where
/// ``[`]: x`](y)`` would define a link.
pub(super) fn code_span(code: &str, in_table: bool, in_brackets: bool) -> Option<String> {
    if (in_table && code.contains("\\|")) || (in_brackets && code.contains(']')) {
        return None;
    }
    let fence = "`".repeat(longest_run(code, '`') + 1);
    let blank = code.chars().all(|char| char == ' ');
    let padded = code.starts_with('`')
        || code.ends_with('`')
        || (code.starts_with(' ') && code.ends_with(' ') && !blank);
    let pad = if padded { " " } else { "" };
    let code = if in_table {
        code.replace('|', "\\|")
    } else {
        code.to_owned()
    };
    Some(format!("{fence}{pad}{code}{pad}{fence}"))
}

/// The longest run of a character.
pub(super) fn longest_run(text: &str, wanted: char) -> usize {
    text.split(|char| char != wanted).map(str::len).max().unwrap_or(0)
}

/// A link's destination and title, as they stand between its parentheses.
pub(super) fn destination(href: &str, title: Option<&str>, in_table: bool) -> String {
    if href.is_empty() && title.is_none() {
        return String::new();
    }
    let blank = |char: char| char.is_whitespace() || char.is_control();
    let bare = !href.is_empty() && !href.starts_with('<') && !href.contains(blank);
    let special: &[char] = match bare {
        true if balanced(href) => &[],
        true => &['(', ')'],
        false => &['<', '>'],
    };
    let href = quoted(href, special, in_table);
    let href = if bare { href } else { format!("<{href}>") };
    match title {
        Some(title) => format!("{href} \"{}\"", quoted(title, &['"'], in_table)),
        None => href,
    }
}

/// Whether each parenthesis has its partner, not too deep for any reader.
fn balanced(href: &str) -> bool {
    let mut depth = 0_u32;
    for char in href.chars() {
        match char {
            '(' => depth += 1,
            ')' if depth == 0 => return false,
            ')' => depth -= 1,
            _ => {}
        }
        if depth > 3 {
            return false;
        }
    }
    depth == 0
}

/// The language of a fenced block, as it stands behind the fence.
pub(super) fn info(language: &str) -> String {
    quoted(language, &[], false)
}

/// Text in which only backslashes, entities, control characters and `special` have a meaning.
fn quoted(text: &str, special: &[char], in_table: bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut escaped = String::with_capacity(text.len());
    for (index, &char) in chars.iter().enumerate() {
        let rest = chars.get(index + 1..).unwrap_or_default();
        if char.is_control() {
            escaped.push_str(&entity(char));
            continue;
        }
        let meant = match char {
            '\\' => !rest.first().is_some_and(|char| char.is_alphanumeric()),
            '&' => starts_entity(rest),
            '|' => in_table,
            _ => special.contains(&char),
        };
        if meant {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}
