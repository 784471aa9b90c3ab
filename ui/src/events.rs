//! What the editing surface tells the shell: the Rust half of `ui/editor/seam.ts`.
//!
//! Unknown events and unknown fields are let through, so that a newer surface never breaks an older shell.

use serde::Deserialize;

use crate::authors::Authors;

mod card;
mod person;

pub use card::{Author, Card, CardState, DecideAnswer, Named, Preview, ProposalKind, Stats};
pub use person::{AiActivity, AiState, PeerKind, Person, Role, User};

/// One event, as JSON with its name in `type`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum EditorEvent {
    /// The document has arrived and can be shown.
    Ready,
    /// What is switched on at the selection, and what can be done.
    Toolbar(Toolbar),
    /// Everybody who has the document open.
    People {
        /// This window included.
        people: Vec<Person>,
    },
    /// All cards of the margin, in the order of the text.
    Cards {
        /// Detached ones last.
        cards: Vec<Card>,
    },
    /// Connection and storage.
    Status(LinkStatus),
    /// The document's title.
    Title {
        /// May be empty.
        title: String,
    },
    /// The selection moved.
    Selection(Selection),
    /// Who wrote what, while that is shown.
    Authors(Authors),
    /// The shortcut for asking was pressed in the text.
    AskShortcut,
    /// Words for the person.
    Notice(Notice),
    /// Something a newer surface says.
    #[serde(other)]
    Unknown,
}

/// State of the toolbar's buttons.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Toolbar {
    /// What is switched on.
    pub active: Active,
    /// Undo and redo.
    pub can: Can,
    /// False while typing is impossible.
    pub editable: bool,
}

/// Marks and blocks at the selection; what is absent is off.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one flag for each button, as the seam has it"
)]
pub struct Active {
    /// Bold.
    pub bold: bool,
    /// Italic.
    pub italic: bool,
    /// Underline.
    pub underline: bool,
    /// Strike-through.
    pub strike: bool,
    /// Inline code.
    pub code: bool,
    /// A link.
    pub link: Option<LinkMark>,
    /// Heading level.
    pub heading: Option<u8>,
    /// An ordinary paragraph.
    pub paragraph: bool,
    /// Bulleted list.
    pub bullet_list: bool,
    /// Numbered list.
    pub ordered_list: bool,
    /// Task list.
    pub task_list: bool,
    /// Quotation.
    pub blockquote: bool,
    /// Code block.
    pub code_block: Option<CodeBlock>,
    /// Inside a table.
    pub table: bool,
}

/// A link's target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct LinkMark {
    /// Address.
    #[serde(default)]
    pub href: String,
}

/// A code block's language.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct CodeBlock {
    /// May be empty.
    #[serde(default)]
    pub language: Option<String>,
}

/// Whether there is something to undo or redo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Can {
    /// Own edits to take back.
    pub undo: bool,
    /// Own edits to bring back.
    pub redo: bool,
}

/// The line to the relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Connection {
    /// Both ways.
    Connected,
    /// Being made, for the first time or again.
    #[default]
    Connecting,
    /// Given up for now; tried again later.
    Offline,
}

/// Where the newest edit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Saved {
    /// On the relay's disk.
    Saved,
    /// Sent; not confirmed yet.
    #[default]
    Saving,
    /// In this window only.
    Unsaved,
}

/// Connection, storage and role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LinkStatus {
    /// The line to the relay.
    pub connection: Connection,
    /// Where the newest edit is.
    pub saved: Saved,
    /// Words, while the relay cannot write to its disk.
    pub storage: Option<String>,
    /// None until the relay has said it.
    pub role: Option<Role>,
    /// The relay has ended it for good; this window keeps what it has.
    pub ended: Option<Ended>,
}

/// Why the relay does not let this window go on with the document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Ended {
    /// What has happened.
    pub why: EndedWhy,
    /// The relay's words.
    #[serde(default)]
    pub message: String,
}

/// What has happened to a document or to the right to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EndedWhy {
    /// The relay has a document of that name with another history.
    Replaced,
    /// The relay has none of that name any more.
    Gone,
    /// The right was taken away, or has run out.
    #[default]
    Refused,
}

/// Where a selection is on the screen, in CSS px of the viewport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
pub struct SelectionRect {
    /// Upper edge.
    pub top: f64,
    /// Left edge.
    pub left: f64,
    /// Lower edge.
    pub bottom: f64,
}

/// The selection in the text.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// A caret.
    pub empty: bool,
    /// The selected text.
    pub text: String,
    /// None when it is not laid out.
    pub rect: Option<SelectionRect>,
    /// The text has the focus.
    pub focused: bool,
}

/// How grave a notice is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// For information.
    #[default]
    Info,
    /// Something to know.
    Warning,
    /// Something failed.
    Error,
}

/// Words for the person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Notice {
    /// How grave.
    pub level: Level,
    /// What happened and what to do.
    pub message: String,
}

/// Reads an event.
///
/// # Errors
/// When the JSON is none, or a known event lacks what it must have.
pub fn parse(json: &str) -> Result<EditorEvent, serde_json::Error> {
    serde_json::from_str(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_of_the_seam_is_read() {
        let toolbar = parse(
            r#"{"type":"toolbar","active":{"bold":true,"heading":2,"link":{"href":"https://a.example"},"codeBlock":{"language":"rust"},"bulletList":true},"can":{"undo":true,"redo":false},"editable":true}"#,
        );
        let Ok(EditorEvent::Toolbar(toolbar)) = toolbar else {
            panic!("{toolbar:?}")
        };
        assert!(
            toolbar.active.bold && toolbar.active.bullet_list && !toolbar.active.italic && toolbar.editable
        );
        assert_eq!(toolbar.active.heading, Some(2));
        assert_eq!(toolbar.active.link.unwrap().href, "https://a.example");
        assert!(toolbar.can.undo && !toolbar.can.redo);

        let people = parse(
            r##"{"type":"people","people":[{"clientId":4294967295,"id":"a","name":"Ann","color":"#112233","kind":"human","self":true},{"clientId":2,"id":"m","name":"SmolLM2","color":"#aa5500","kind":"ai","self":false,"model":"SmolLM2-135M-Instruct","device":"CPU","ai":{"state":"writing","request":"R","tokensPerSecond":21.5}}]}"##,
        );
        let Ok(EditorEvent::People { people }) = people else {
            panic!("{people:?}")
        };
        assert!(people[0].is_self && people[0].client_id == u64::from(u32::MAX));
        assert_eq!(people[1].kind, PeerKind::Ai);
        assert_eq!(people[1].ai.as_ref().unwrap().state, AiState::Writing);

        assert_eq!(parse(r#"{"type":"ready"}"#).unwrap(), EditorEvent::Ready);
        assert_eq!(
            parse(r#"{"type":"askShortcut"}"#).unwrap(),
            EditorEvent::AskShortcut
        );
        assert_eq!(
            parse(r#"{"type":"status","connection":"offline","saved":"unsaved","role":"suggester"}"#)
                .unwrap(),
            EditorEvent::Status(LinkStatus {
                connection: Connection::Offline,
                saved: Saved::Unsaved,
                storage: None,
                role: Some(Role::Suggester),
                ended: None,
            })
        );
        let ended = parse(
            r#"{"type":"status","connection":"offline","saved":"unsaved","role":"editor","ended":{"why":"replaced","message":"epoch: x"}}"#,
        );
        assert!(matches!(
            ended,
            Ok(EditorEvent::Status(LinkStatus {
                ended: Some(Ended {
                    why: EndedWhy::Replaced,
                    ..
                }),
                ..
            }))
        ));
        let selection = parse(
            r#"{"type":"selection","empty":false,"text":"words","rect":{"top":1.5,"left":2,"bottom":3},"focused":true}"#,
        );
        assert!(matches!(
            selection,
            Ok(EditorEvent::Selection(Selection {
                empty: false,
                rect: Some(_),
                ..
            }))
        ));
        let notice = parse(r#"{"type":"notice","level":"error","message":"no"}"#).unwrap();
        assert_eq!(
            notice,
            EditorEvent::Notice(Notice {
                level: Level::Error,
                message: "no".into()
            })
        );
    }

    #[test]
    fn a_card_keeps_what_it_does_not_know_as_none() {
        let json = r#"{"type":"cards","cards":[
            {"id":"p1","request":"r1","kind":null,"requestKind":"continue","state":"queued","stale":false,"detached":false,"author":null,
             "requester":{"id":"a","name":"Ann"},"mine":true,"instruction":"","quote":"","payload":"","payloadHtml":"","stats":null,"at":1700000000000,"top":12.5},
            {"id":"p2","request":"","kind":"comment","requestKind":"","state":"failed","stale":true,"detached":true,"author":{"kind":"ai","id":"m","name":"M"},
             "requester":{"id":"","name":""},"mine":false,"instruction":"x","quote":"y","payload":"z","payloadHtml":"<p>z</p>","stats":{"tokens":9,"tokensPerSecond":20.5},"error":"why","at":0,"top":null,"future":1}]}"#;
        let Ok(EditorEvent::Cards { cards }) = parse(json) else {
            panic!("{:?}", parse(json))
        };
        assert_eq!(
            (cards[0].kind, cards[0].state, cards[0].top),
            (None, CardState::Queued, Some(12.5))
        );
        assert_eq!(
            (cards[1].kind, cards[1].state, cards[1].top),
            (Some(ProposalKind::Comment), CardState::Failed, None)
        );
        assert_eq!(cards[1].stats.unwrap().tokens_per_second, Some(20.5));
    }

    #[test]
    fn a_newer_surface_does_not_break_the_shell_but_rubbish_is_an_error() {
        assert_eq!(
            parse(r#"{"type":"somethingNew","x":1}"#).unwrap(),
            EditorEvent::Unknown
        );
        assert!(parse("not json").is_err());
        assert!(parse(r#"{"type":"cards"}"#).is_err());
    }

    #[test]
    fn roles_allow_what_the_design_says() {
        let rights = [Role::Viewer, Role::Suggester, Role::Editor, Role::Owner]
            .map(|role| (role.may_ask(), role.may_decide()));
        assert_eq!(
            rights,
            [(false, false), (true, false), (true, true), (true, true)]
        );
    }
}
