//! Settings, Models: which models lie on the relay's machine; adding, measuring, verifying and removing them.

use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::{Value, json};

use crate::adapter_list::Adapters;
use crate::add_model::AddModel;
use crate::app::ThemeToggle;
use crate::browser;
use crate::dialog::{Dialog, Ends};
use crate::editor;
use crate::events::Level;
use crate::icon::{Icon, icon};
use crate::model_row::{JobRow, ModelRow};
use crate::models::{Installed, Job, Library, Stand, Verified};
use crate::route::{self, Route};
use crate::state::Shell;

/// How often it is asked how far things are.
const LOOK: Duration = Duration::from_millis(700);

/// Every so many looks also when nothing is under way: a model may have been loaded, or a file added, since the page was opened.
const SELDOM: u32 = 5;

/// What is known of the models, and what can be done with them.
#[derive(Clone, Copy)]
pub(crate) struct Models {
    shell: Shell,
    /// None until the relay has answered.
    pub(crate) library: RwSignal<Option<Library>>,
    trouble: RwSignal<Option<String>>,
    removing: RwSignal<Option<Installed>>,
    /// The one that is being verified.
    pub(crate) verifying: RwSignal<Option<String>>,
}

impl Models {
    pub(crate) fn load(self) {
        spawn_local(async move {
            match editor::get::<Library>("/models").await {
                Ok(library) => {
                    self.trouble.try_set(None);
                    let is_new = self
                        .library
                        .try_with_untracked(|before| before.as_ref() != Some(&library));
                    if is_new == Some(true) {
                        self.tell_news(&library);
                        self.library.try_set(Some(library));
                    }
                }
                Err(error) => _ = self.trouble.try_set(Some(error.message)),
            }
        });
    }

    /// Says aloud what has begun and what is over since the last look, and shows what has begun.
    fn tell_news(self, library: &Library) {
        let Some(before) = self.library.get_untracked() else {
            return;
        };
        let is_new = |job: &&Job| before.jobs.iter().all(|old| old.id != job.id);
        if let Some(job) = library.jobs.iter().find(is_new) {
            self.shell.notices.speak(format!("{}.", job.title()));
            browser::bring_into_view(".model-jobs");
        }
        for job in &library.jobs {
            let was_running = before
                .jobs
                .iter()
                .any(|old| old.id == job.id && old.state == Stand::Running);
            if was_running && job.state != Stand::Running {
                self.shell
                    .notices
                    .speak(format!("{}. {}", job.title(), job.words()));
            }
        }
    }

    pub(crate) fn measure(self, id: &str) {
        let path = format!("/models/{}/measure", route::encode(id));
        spawn_local(async move {
            if let Err(error) = editor::post::<Value>(&path, json!({})).await {
                self.shell.notices.fail(error.message);
            }
            self.load();
        });
    }

    pub(crate) fn verify(self, id: String) {
        self.verifying.set(Some(id.clone()));
        let path = format!("/models/{}/verify", route::encode(&id));
        spawn_local(async move {
            match editor::post::<Verified>(&path, json!({})).await {
                Ok(verdict) => {
                    let (good, words) = verdict.words(&id);
                    self.shell
                        .notices
                        .tell(if good { Level::Info } else { Level::Error }, words);
                }
                Err(error) => self.shell.notices.fail(error.message),
            }
            self.verifying.try_set(None);
        });
    }

    pub(crate) fn ask_to_remove(self, model: Installed) {
        self.removing.set(Some(model));
    }

    /// Stops a job, or takes one that is over off the list.
    pub(crate) fn end(self, job: &str) {
        let path = format!("/model-jobs/{}", route::encode(job));
        spawn_local(async move {
            if let Err(error) = editor::delete_at(&path).await {
                self.shell.notices.fail(error.message);
            }
            self.load();
        });
    }
}

/// The page at `#/settings/models`.
#[component]
pub(crate) fn ModelsPage() -> impl IntoView {
    let models = Models {
        shell: expect_context::<Shell>(),
        library: RwSignal::new(None),
        trouble: RwSignal::new(None),
        removing: RwSignal::new(None),
        verifying: RwSignal::new(None),
    };
    provide_context(models);
    document().set_title("Models – Inkling");
    models.load();
    let is_busy = move || {
        let busy = |library: &Library| library.jobs.iter().any(|job| job.state == Stand::Running);
        models
            .library
            .with_untracked(|library| library.as_ref().is_some_and(busy))
    };
    let looks = StoredValue::new(0_u32);
    if let Ok(timer) = set_interval_with_handle(
        move || {
            looks.update_value(|looks| *looks = looks.wrapping_add(1));
            if is_busy() || looks.get_value().is_multiple_of(SELDOM) {
                models.load();
            }
        },
        LOOK,
    ) {
        on_cleanup(move || timer.clear());
    }
    view! {
        <header class="bar list-bar">
            <a class="quiet" href=Route::List.hash() aria-label="All documents" title="All documents" data-testid="back">{icon(Icon::Back)}</a>
            <span class="brand small-brand">"Settings"</span>
            <span class="spring"></span>
            <ThemeToggle />
        </header>
        <main class="list models-page">
            <div class="list-head">
                <h1>"Models"</h1>
            </div>
            <p class="models-note">"Language models that lie on this machine. What they read and write stays here."</p>
            {move || models.trouble.get().map(|words| view! {
                <div class="empty" role="alert" data-testid="models-trouble">{icon(Icon::Problem)} <h2>"The models cannot be shown"</h2> <p>{words}</p></div>
            })}
            {move || (models.library.with(Option::is_none) && models.trouble.with(Option::is_none)).then(|| view! {
                <div class="rows waiting" role="status" aria-label="Looking for models"><div class="bone"></div><div class="bone"></div></div>
            })}
            <Show when=move || models.library.with(Option::is_some)>
                <Jobs />
                <List />
                <AddModel />
                <Adapters />
            </Show>
        </main>
        <RemoveDialog />
    }
}

#[component]
fn Jobs() -> impl IntoView {
    let models = expect_context::<Models>();
    let jobs = move || models.library.get().unwrap_or_default().jobs;
    let any = Memo::new(move |_| !jobs().is_empty());
    view! {
        <Show when=move || any.get()>
            <section class="model-jobs" aria-label="Under way">
                <ul><For each=jobs key=|job| job.id.clone() let:job><JobRow id=job.id /></For></ul>
            </section>
        </Show>
    }
}

#[component]
fn List() -> impl IntoView {
    let models = expect_context::<Models>();
    let library = Memo::new(move |_| models.library.get().unwrap_or_default());
    // Progress is no reason to draw the models anew: whoever is at one of their buttons stays there.
    let installed = Memo::new(move |_| library.with(|library| library.models.clone()));
    let broken = Memo::new(move |_| library.with(|library| library.broken.clone()));
    view! {
        {move || installed.with(Vec::is_empty).then(|| view! {
            <div class="empty" data-testid="models-empty">{icon(Icon::Chip)} <h2>"No model yet"</h2> <p>"Writing together works without one. With one, an AI can suggest."</p></div>
        })}
        <ul class="models" data-testid="models">
            <For each=move || installed.get() key=Installed::lasting let:model><ModelRow model=model /></For>
        </ul>
        {move || broken.get().into_iter().map(|folder| view! {
            <p class="model-broken" data-testid="model-broken">{icon(Icon::Problem)} <span><strong>{folder.id}</strong>" cannot be used: " {folder.reason}</span></p>
        }).collect_view()}
        <p class="models-folder">"They are in " <code>{move || library.with(|library| library.folder.clone())}</code></p>
    }
}

#[component]
fn RemoveDialog() -> impl IntoView {
    let models = expect_context::<Models>();
    let open = RwSignal::new(false);
    Effect::new(move || {
        if models.removing.with(Option::is_some) {
            open.set(true);
        }
    });
    Effect::new(move || {
        if !open.get() {
            models.removing.set(None);
        }
    });
    let name = move || {
        models
            .removing
            .with(|model| model.as_ref().map(|model| model.id.clone()).unwrap_or_default())
    };
    let remove = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let id = name();
        open.set(false);
        let path = format!("/models/{}", route::encode(&id));
        spawn_local(async move {
            match editor::delete_at(&path).await {
                Ok(()) => models
                    .shell
                    .notices
                    .tell(Level::Info, format!("{id} is removed.")),
                Err(error) => models.shell.notices.fail(error.message),
            }
            models.load();
        });
    };
    view! {
        <Dialog open title="Remove this model?" name="remove-model">
            <form on:submit=remove>
                <p>{move || format!("The files of “{}” are deleted from this machine's disk. It can be added again.", name())}</p>
                <Ends open words="Remove" name="remove-model-confirm" danger=true />
            </form>
        </Dialog>
    }
}
