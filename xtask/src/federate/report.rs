//! What has come of all of it, as the page docs/federation.md.

use super::certificates::Kind;
use super::figures::Figures;
use super::people::{ROWS, Row};
use super::servers::Proof;
use super::{PROOFS, wrong};
use crate::run::Result;

/// What was tried, each with what has come of it.
pub(crate) type Tried = Vec<(String, Result)>;

/// What has come of each kind of wrong certificate, at theirs and at ours.
pub(crate) type Kinds = Vec<(Kind, [Result; 2])>;

/// All results. An error is why it could not be had.
#[derive(Default)]
pub(crate) struct Report {
    /// By which proof, with whom, and what has come of each row.
    pub(crate) people: Vec<(Proof, String, Result<Vec<Result>>)>,
    /// With whom, and for each kind what ours and what theirs have done.
    pub(crate) wrong: Vec<(String, Result<Kinds>)>,
    pub(crate) triangle: Vec<(String, Result<Tried>)>,
    /// The version of slixmpp, and rows.
    pub(crate) component: Option<Result<(String, Tried)>>,
    pub(crate) figures: Option<Figures>,
}

const HEAD: &str = "\
# Balcony among other servers

Written by `cargo xtask federate --write`: a user of Balcony and one of another server, each at their own, found by SRV records in a
DNS of the test's own. 'Certificate' is SASL EXTERNAL and nothing else, with a certificate of an authority that both trust; 'dialback' is a
certificate that nobody vouches for, at both ends, and dialback; 'direct TLS' is a certificate, and `_xmpps-server` records only.

Certificates are for servers only (`serverAuth`), as public authorities make them now. ejabberd 23.01 takes such a one for dialback and no more, so that where it
is the other one Balcony's are for clients, too (`clientAuth`).

Streams go both ways (XEP-0288) with all but ejabberd 23.01, which does not know that. Where both servers do, which are Balcony and the newest Prosody here, a stream counts what it has carried (XEP-0198), so that nothing is lost with it ([what may come twice](guarantees.md)); `stream-management = false` in `[federation]` of
Balcony's configuration turns that off.

";

/// A part of the page: its heading, and what stands below that. The first has none.
type Section = (&'static str, String);

const WRONG: &str = "## Wrong certificates";
const TRIANGLE: &str = "## Three domains";
const COMPONENT: &str = "## A component";
const FIGURES: &str = "## What it costs";

impl Report {
    /// What was run, as parts of the page.
    fn sections(&self) -> Vec<Section> {
        let mut sections = Vec::new();
        if !self.people.is_empty() {
            let mut out = HEAD.to_owned();
            for proof in PROOFS {
                let here = self.people.iter().filter(|(of, ..)| *of == proof);
                out.push_str(&format!("### {}\n\n", proof.words()));
                let titles: Vec<&str> = here.clone().map(|(_, title, _)| title.as_str()).collect();
                header(&mut out, "what", &titles);
                for (index, Row { what, .. }) in ROWS.iter().enumerate() {
                    let cells = here
                        .clone()
                        .map(|(.., rows)| cell(rows.as_ref().ok().and_then(|rows| rows.get(index))));
                    row(&mut out, what, cells);
                }
                out.push('\n');
            }
            sections.push(("", out));
        }
        if !self.wrong.is_empty() {
            let mut out = String::from(
                "Where certificates are demanded: nothing goes, and the sender hears of it.\n\n",
            );
            let titles: Vec<String> = self
                .wrong
                .iter()
                .flat_map(|(other, _)| wrong::ROWS.iter().map(move |row| format!("{other}: {row}")))
                .collect();
            header(&mut out, "certificate", &titles.iter().map(String::as_str).collect::<Vec<_>>());
            for (index, kind) in Kind::WRONG.into_iter().enumerate() {
                let both = self.wrong.iter().map(|(_, kinds)| kinds.as_ref().ok()?.get(index));
                let cells = both
                    .flat_map(|both| [0, 1].map(|place| cell(both.and_then(|(_, both)| both.get(place)))));
                row(&mut out, kind.words(), cells);
            }
            sections.push((WRONG, out));
        }
        if !self.triangle.is_empty() {
            let mut out = String::from(
                "Balcony hosts `one.test` and `three.test`, each with its own certificate; the other server has `two.test`.\n\n",
            );
            let titles: Vec<&str> = self.triangle.iter().map(|(other, _)| other.as_str()).collect();
            header(&mut out, "what", &titles);
            let first = self.triangle.iter().find_map(|(_, result)| result.as_ref().ok());
            for (index, (what, _)) in first.into_iter().flatten().enumerate() {
                let cells = self.triangle.iter().map(|(_, result)| match result {
                    Ok(rows) => cell(rows.get(index).map(|(_, result)| result)),
                    Err(_) => "-",
                });
                row(&mut out, what, cells);
            }
            sections.push((TRIANGLE, out));
        }
        if let Some(result) = &self.component {
            let mut out = String::from("Of slixmpp, at Balcony (XEP-0114).\n\n");
            if let Ok((version, rows)) = result {
                header(&mut out, "what", &[&format!("slixmpp {version}")]);
                for (what, result) in rows {
                    row(&mut out, what, core::iter::once(cell(Some(result))));
                }
            }
            sections.push((COMPONENT, out));
        }
        sections.extend(self.figures.as_ref().map(|figures| (FIGURES, figures.markdown())));
        for (heading, text) in &mut sections {
            for (title, list) in [("What failed", self.failures()), ("What could not be had", self.skipped())]
            {
                let here: Vec<&String> =
                    list.iter().filter(|(of, _)| of == heading).map(|(_, line)| line).collect();
                if !here.is_empty() {
                    text.push_str(&format!("\n{title}:\n\n"));
                    here.iter().for_each(|line| text.push_str(&format!("- {line}\n")));
                }
            }
        }
        sections
    }

    /// The page: what was run, and of what was not what stood there before.
    pub(crate) fn markdown(&self, before: &str) -> String {
        let new = self.sections();
        let mut out = String::new();
        for heading in ["", WRONG, TRIANGLE, COMPONENT, FIGURES] {
            let section = new.iter().find(|(of, _)| *of == heading);
            let text = section.map_or_else(|| standing(before, heading), |(_, text)| text.clone());
            if text.trim().is_empty() {
                continue;
            }
            if !heading.is_empty() {
                out.push_str(&format!("\n{heading}\n\n"));
            }
            out.push_str(text.trim());
            out.push('\n');
        }
        out
    }

    /// All that did not go as it should, in words, with the heading of the section.
    pub(crate) fn failures(&self) -> Vec<(&'static str, String)> {
        let mut failed = Vec::new();
        let mut add = |heading: &'static str, of: &str, what: &str, result: &Result| {
            if let Err(error) = result {
                failed.push((heading, format!("{of}: {what}: {error}")));
            }
        };
        for (proof, title, rows) in &self.people {
            let of = format!("{title}, {}", proof.words());
            for (result, Row { what, .. }) in rows.iter().flatten().zip(ROWS) {
                add("", &of, what, result);
            }
        }
        for (other, kinds) in &self.wrong {
            for (kind, both) in kinds.iter().flatten() {
                let rows = wrong::ROWS.iter().zip(both);
                rows.for_each(|(what, result)| {
                    add(WRONG, other, &format!("{}: {what}", kind.words()), result)
                });
            }
        }
        for (other, rows) in
            self.triangle.iter().filter_map(|(other, rows)| Some((other, rows.as_ref().ok()?)))
        {
            rows.iter().for_each(|(what, result)| add(TRIANGLE, other, what, result));
        }
        if let Some(Ok((_, rows))) = &self.component {
            rows.iter().for_each(|(what, result)| add(COMPONENT, "slixmpp", what, result));
        }
        failed.extend(self.figures.iter().flat_map(Figures::failures).map(|line| (FIGURES, line)));
        failed
    }

    /// All that was not there, with the reasons.
    fn skipped(&self) -> Vec<(&'static str, String)> {
        let people = self.people.iter().filter_map(|(proof, title, rows)| {
            Some(("", format!("SKIP {title}, {}: {}", proof.words(), rows.as_ref().err()?)))
        });
        let wrong = self
            .wrong
            .iter()
            .filter_map(|(other, kinds)| Some((WRONG, format!("SKIP {other}: {}", kinds.as_ref().err()?))));
        let triangle = self.triangle.iter().filter_map(|(other, result)| {
            Some((TRIANGLE, format!("SKIP {other}: {}", result.as_ref().err()?)))
        });
        let component = self
            .component
            .iter()
            .filter_map(|result| Some((COMPONENT, format!("SKIP slixmpp: {}", result.as_ref().err()?))));
        people.chain(wrong).chain(triangle).chain(component).collect()
    }
}

/// What stands below a heading of the page, up to the next one.
fn standing(page: &str, heading: &str) -> String {
    let rest = match heading {
        "" => page,
        heading => page.split_once(&format!("\n{heading}\n")).map_or("", |(_, rest)| rest),
    };
    rest.split("\n## ").next().unwrap_or_default().to_owned()
}

fn cell(result: Option<&Result>) -> &'static str {
    match result {
        Some(Ok(())) => "ok",
        Some(Err(_)) => "**no**",
        None => "-",
    }
}

fn header(out: &mut String, first: &str, titles: &[&str]) {
    row(out, first, titles.iter().copied());
    out.push_str("|---|");
    out.push_str(&"---|".repeat(titles.len()));
    out.push('\n');
}

fn row<'a>(out: &mut String, first: &str, cells: impl Iterator<Item = &'a str>) {
    out.push_str(&format!("| {first} |"));
    cells.for_each(|cell| out.push_str(&format!(" {cell} |")));
    out.push('\n');
}
