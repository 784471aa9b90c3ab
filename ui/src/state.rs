//! What the shell knows: of the page (`Shell`), and of the document that is open (`Session`). Components read these
//! signals; events of the surface and answers of the relay write them.

use std::collections::HashSet;

use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::announce;
use crate::authors::Authors;
use crate::browser;
use crate::cards;
use crate::editor;
use crate::events::{
    Card, DecideAnswer, EditorEvent, Level, LinkStatus, PeerKind, Person, Preview, Role, Selection, Toolbar,
    User,
};
use crate::names;
use crate::notices::Notices;
use crate::route;
use crate::server::{Document, ServerStatus};
use crate::theme::Theme;
use crate::words;

/// Where the browser keeps who sits here.
pub(crate) const USER: &str = "inkling.user";
/// Where the browser keeps the chosen theme.
const THEME: &str = "inkling.theme";
/// Where the browser keeps that the hint about the name was put away.
const HINT: &str = "inkling.name-hint";

/// What outlives a document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shell {
    /// Who sits here.
    pub(crate) user: RwSignal<User>,
    /// Offer to choose a name.
    pub(crate) name_hint: RwSignal<bool>,
    /// The chosen theme.
    pub(crate) theme: RwSignal<Theme>,
    /// The system's.
    pub(crate) system_dark: ReadSignal<bool>,
    /// The margin has room beside the page.
    pub(crate) wide: ReadSignal<bool>,
    /// Words that come and go.
    pub(crate) notices: Notices,
    /// The relay's own account of itself and its models.
    pub(crate) server: RwSignal<Option<ServerStatus>>,
    /// In the desktop window.
    pub(crate) desktop: bool,
}

impl Shell {
    /// Reads what the browser has kept.
    pub(crate) fn new() -> Self {
        let user = browser::recall(USER).and_then(|json| serde_json::from_str::<User>(&json).ok());
        let user = user
            .filter(|user| !user.id.is_empty() && !user.name.is_empty())
            .unwrap_or_else(|| {
                let id = format!("u-{:08x}{:08x}", browser::chance(), browser::chance());
                User {
                    id,
                    name: names::guest(browser::chance()),
                    color: String::new(),
                }
            });
        keep_user(&user);
        let hint = names::is_guest(&user.name) && browser::recall(HINT).is_none();
        Self {
            user: RwSignal::new(user),
            name_hint: RwSignal::new(hint),
            theme: RwSignal::new(Theme::parse(&browser::recall(THEME).unwrap_or_default())),
            system_dark: browser::follow_media("(prefers-color-scheme: dark)"),
            // Page (44rem) and margin (21rem) with their distances: the same number stands in style/layout.css.
            wide: browser::follow_media("(min-width: 66rem)"),
            notices: Notices::new(),
            server: RwSignal::new(None),
            desktop: editor::is_desktop(),
        }
    }

    /// Is what is seen now dark?
    pub(crate) fn is_dark(self) -> bool {
        self.theme.get().is_dark(self.system_dark.get())
    }

    /// Changes the look.
    pub(crate) fn toggle_theme(self) {
        let theme = self
            .theme
            .get_untracked()
            .toggled(self.system_dark.get_untracked());
        browser::keep(THEME, theme.name());
        self.theme.set(theme);
    }

    /// Takes the name that a person typed; nothing happens when there is none in it.
    pub(crate) fn rename_user(self, typed: &str) {
        let Some(name) = names::tidy(typed) else { return };
        self.put_hint_away();
        if self.user.with_untracked(|user| user.name == name) {
            return;
        }
        self.user.update(|user| user.name = name);
        self.user.with_untracked(|user| {
            keep_user(user);
            editor::set_user(user);
        });
    }

    /// No more hint about the name, also next time.
    pub(crate) fn put_hint_away(self) {
        browser::keep(HINT, "seen");
        self.name_hint.set(false);
    }

    /// Does the relay's machine belong to this person, as far as the relay has said?
    pub(crate) fn may_manage(self) -> bool {
        self.server.with(|status| {
            let role = status.as_ref().and_then(|status| status.role);
            role == Some(Role::Owner)
        })
    }

    /// Asks the relay how it is.
    pub(crate) fn look_at_server(self) {
        spawn_local(async move {
            if let Ok(status) = editor::get::<ServerStatus>("/status").await {
                self.server.try_set(Some(status));
            }
        });
    }
}

fn keep_user(user: &User) {
    if let Ok(json) = serde_json::to_string(user) {
        browser::keep(USER, &json);
    }
}

/// The document that is open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    /// Its id.
    pub(crate) doc: StoredValue<String>,
    /// It has arrived.
    pub(crate) ready: RwSignal<bool>,
    /// Its title.
    pub(crate) title: RwSignal<String>,
    /// What the API says of it.
    pub(crate) about: RwSignal<Option<Document>>,
    /// State of the toolbar.
    pub(crate) toolbar: RwSignal<Toolbar>,
    /// Who has it open.
    pub(crate) people: RwSignal<Vec<Person>>,
    /// The margin.
    pub(crate) cards: RwSignal<Vec<Card>>,
    /// Connection and storage.
    pub(crate) link: RwSignal<LinkStatus>,
    /// The selection in the text.
    pub(crate) selection: RwSignal<Selection>,
    /// The ask bar is open.
    pub(crate) asking: RwSignal<bool>,
    /// What may leave this machine is shown.
    pub(crate) leaving: RwSignal<bool>,
    /// The adapters that are worn are shown.
    pub(crate) dressing: RwSignal<bool>,
    /// The versions are shown.
    pub(crate) looking_back: RwSignal<bool>,
    /// Who wrote what, while it is shown.
    pub(crate) authors: RwSignal<Option<Authors>>,
    /// It is asked what becomes of this window's copy.
    pub(crate) parting: RwSignal<bool>,
    /// The link dialog is open.
    pub(crate) linking: RwSignal<bool>,
    /// The margin is open where it has no room of its own.
    pub(crate) drawer: RwSignal<bool>,
    /// The card that has the focus.
    pub(crate) focused: RwSignal<Option<String>>,
    /// Cards seen before they were decided.
    pub(crate) seen: RwSignal<HashSet<String>>,
    /// Cards put away in this window.
    pub(crate) away: RwSignal<HashSet<String>>,
    /// Cards whose decision is on its way.
    pub(crate) deciding: RwSignal<HashSet<String>>,
    /// A card whose text has changed, with what accepting would do.
    pub(crate) previewing: RwSignal<Option<(String, Preview)>>,
    shell: Shell,
}

impl Session {
    /// Nothing is known yet but the id.
    pub(crate) fn new(doc: String, shell: Shell) -> Self {
        Self {
            doc: StoredValue::new(doc),
            ready: RwSignal::new(false),
            title: RwSignal::default(),
            about: RwSignal::new(None),
            toolbar: RwSignal::default(),
            people: RwSignal::default(),
            cards: RwSignal::default(),
            link: RwSignal::default(),
            selection: RwSignal::new(Selection {
                empty: true,
                ..Selection::default()
            }),
            asking: RwSignal::new(false),
            leaving: RwSignal::new(false),
            dressing: RwSignal::new(false),
            looking_back: RwSignal::new(false),
            authors: RwSignal::new(None),
            parting: RwSignal::new(false),
            linking: RwSignal::new(false),
            drawer: RwSignal::new(false),
            focused: RwSignal::new(None),
            seen: RwSignal::default(),
            away: RwSignal::default(),
            deciding: RwSignal::default(),
            previewing: RwSignal::new(None),
            shell,
        }
    }

    /// Asks the relay how the document is kept.
    pub(crate) fn look_at_document(self) {
        let path = format!("/documents/{}", route::encode(&self.doc.get_value()));
        spawn_local(async move {
            if let Ok(document) = editor::get::<Document>(&path).await {
                self.about.try_set(Some(document));
            }
        });
    }

    /// Takes an event of the surface.
    pub(crate) fn hear(self, event: EditorEvent) {
        match event {
            EditorEvent::Ready => self.ready.set(true),
            EditorEvent::Toolbar(toolbar) => self.toolbar.set(toolbar),
            EditorEvent::People { people } => self.people.set(people),
            EditorEvent::Cards { cards } => self.hear_cards(cards),
            EditorEvent::Status(link) => self.hear_status(link),
            EditorEvent::Authors(authors) => self.authors.set(authors.shown.then_some(authors)),
            EditorEvent::Title { title } => self.title.set(title),
            EditorEvent::Selection(selection) => self.selection.set(selection),
            EditorEvent::AskShortcut => self.asking.set(true),
            EditorEvent::Notice(notice) => self.shell.notices.tell(notice.level, notice.message),
            EditorEvent::Unknown => {}
        }
    }

    fn hear_status(self, link: LinkStatus) {
        let before = self.link.with_untracked(|link| link.role);
        if let (Some(before), Some(now)) = (before, link.role)
            && before != now
        {
            self.shell.notices.tell(Level::Info, words::new_role(now));
        }
        self.link.set(link);
    }

    fn hear_cards(self, cards: Vec<Card>) {
        let sentences = self
            .cards
            .with_untracked(|before| announce::changes(before, &cards));
        if !sentences.is_empty() {
            self.shell.notices.speak(sentences.join(" "));
        }
        self.seen.update(|seen| cards::note_open(seen, &cards));
        self.cards.set(cards);
    }

    /// The AI peers that are here.
    pub(crate) fn ai_peers(self) -> Vec<Person> {
        self.people.with(|people| {
            people
                .iter()
                .filter(|person| person.kind == PeerKind::Ai)
                .cloned()
                .collect()
        })
    }

    /// May this person accept and reject? Yes until the relay says otherwise: it has the last word anyway.
    pub(crate) fn may_decide(self) -> bool {
        self.link.with(|link| link.role.is_none_or(Role::may_decide))
    }

    /// May this person write into the margin?
    pub(crate) fn may_ask(self) -> bool {
        self.link.with(|link| link.role.is_none_or(Role::may_ask))
    }

    /// Has the relay decide; shows what accepting would do when the text has changed meanwhile.
    pub(crate) fn decide(self, card: String, action: &'static str, force: bool) {
        if self.deciding.with_untracked(|deciding| deciding.contains(&card)) {
            return;
        }
        self.deciding.update(|deciding| _ = deciding.insert(card.clone()));
        spawn_local(async move {
            let mut answer = editor::decide(&card, action, force).await;
            if answer.code.as_deref() == Some("stale") && answer.preview.is_none() {
                answer.preview = editor::preview(&card).await.preview;
            }
            // The document may have been closed meanwhile.
            self.deciding.try_update(|deciding| deciding.remove(&card));
            self.answered(card, answer);
        });
    }

    /// Shows what accepting would do, before anything is decided.
    pub(crate) fn preview(self, card: String) {
        spawn_local(async move {
            let answer = editor::preview(&card).await;
            self.answered(card, answer);
        });
    }

    fn answered(self, card: String, answer: DecideAnswer) {
        if let Some(preview) = answer.preview {
            self.previewing.try_set(Some((card, preview)));
        } else if !answer.ok {
            let words = answer
                .message
                .unwrap_or_else(|| "This could not be done. Try again.".to_owned());
            let level = if answer.code.as_deref() == Some("already") {
                Level::Info
            } else {
                Level::Error
            };
            self.shell.notices.tell(level, words);
        }
    }
}
