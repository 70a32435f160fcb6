//! What has come of all of it, as the page docs/federation.md.

use super::certificates::Kind;
use super::figures::Figures;
use super::people::{ROWS, Row};
use super::servers::Proof;
use super::{OTHERS, PROOFS, wrong};
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
    /// What failed, and was tried again.
    again: Vec<String>,
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

/// What stands above the lists of a section.
const AGAIN: &str = "Tried again, since something had failed; the first of that";
const FAILED: &str = "What failed";
const SKIPPED: &str = "What could not be had";

const WRONG: &str = "## Wrong certificates";
const TRIANGLE: &str = "## Three domains";
const COMPONENT: &str = "## A component";
const FIGURES: &str = "## What it costs";

impl Report {
    /// Something of a pair of servers has failed, and is tried again.
    pub(crate) fn again(&mut self, proof: Proof, title: &str, result: &Result<Vec<Result>>) {
        let of = format!("{title}, {}", proof.words());
        let rows = result.iter().flatten().zip(ROWS);
        let failed = rows.filter_map(|(result, Row { what, .. })| Some((*what, result.as_ref().err()?)));
        let failed = failed.map(|(what, error)| format!("{what}: {error}")).next();
        let first = failed.or_else(|| result.as_ref().err().cloned()).unwrap_or_default();
        self.again.push(format!("{of}: {first}"));
    }

    /// Whether all pairs of servers were run.
    fn is_of_all(&self) -> bool {
        self.people.len() >= OTHERS.len() * PROOFS.len()
    }

    /// What stands below this title of the first section about pairs of servers that were not run now.
    fn kept(&self, heading: &str, title: &str, before: &str) -> Vec<String> {
        if !heading.is_empty() || self.is_of_all() {
            return Vec::new();
        }
        let of_new = |line: &str| {
            let of = |(proof, title, _): &(Proof, String, _)| format!("{title}, {}: ", proof.words());
            self.people.iter().any(|pair| line.trim_start_matches("SKIP ").starts_with(&of(pair)))
        };
        let standing = standing(before, "");
        let below = standing.split_once(&format!("\n{title}:\n\n")).map_or("", |(_, rest)| rest);
        let lines =
            below.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix("- "));
        lines.filter(|line| !of_new(line)).map(str::to_owned).collect()
    }

    /// What was run, as parts of the page. `before` is the page as it stands.
    fn sections(&self, before: &str) -> Vec<Section> {
        let mut sections = Vec::new();
        if !self.people.is_empty() {
            let mut out = HEAD.to_owned();
            // Of a part of the servers the others keep their columns.
            let before = if self.is_of_all() { "" } else { before };
            for proof in PROOFS {
                let mut columns = columns(before, proof);
                for (_, title, rows) in self.people.iter().filter(|(of, ..)| *of == proof) {
                    let cells = (0..ROWS.len())
                        .map(|index| cell(rows.as_ref().ok().and_then(|rows| rows.get(index))));
                    let cells = cells.map(str::to_owned).collect();
                    match columns.iter_mut().find(|(known, _)| known == title) {
                        Some((_, known)) => *known = cells,
                        None => columns.push((title.clone(), cells)),
                    }
                }
                out.push_str(&format!("### {}\n\n", proof.words()));
                header(
                    &mut out,
                    "what",
                    &columns.iter().map(|(title, _)| title.as_str()).collect::<Vec<_>>(),
                );
                for (index, Row { what, .. }) in ROWS.iter().enumerate() {
                    row(&mut out, what, columns.iter().map(|(_, cells)| cells[index].as_str()));
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
        let again: Vec<_> = self.again.iter().map(|line| ("", line.clone())).collect();
        for (heading, text) in &mut sections {
            for (title, list) in
                [(AGAIN, again.clone()), (FAILED, self.failures()), (SKIPPED, self.skipped())]
            {
                let new = list.into_iter().filter(|(of, _)| of == heading).map(|(_, line)| line);
                let here: Vec<String> = self.kept(heading, title, before).into_iter().chain(new).collect();
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
        let new = self.sections(before);
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

/// The columns that the table of a proof has in the page, each with its title and a cell for each of the rows.
fn columns(page: &str, proof: Proof) -> Vec<(String, Vec<String>)> {
    let table = page.split_once(&format!("\n### {}\n\n", proof.words())).map_or("", |(_, rest)| rest);
    let lines = table.lines().take_while(|line| line.starts_with('|'));
    let mut rows = lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    let titles = rows.next().unwrap_or_default();
    let rows: Vec<_> = rows.skip(1).collect();
    // Of other rows than those of today there is nothing to keep.
    let is_so = rows.len() == ROWS.len()
        && rows.iter().zip(ROWS).all(|(row, Row { what, .. })| row.len() == titles.len() && row[0] == *what);
    let column =
        |place: usize| (titles[place].to_owned(), rows.iter().map(|row| row[place].to_owned()).collect());
    if is_so { (1..titles.len()).map(column).collect() } else { Vec::new() }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn report(titles: &[&str], result: &Result) -> Report {
        let pair =
            |proof, title: &str| (proof, title.to_owned(), Ok(ROWS.iter().map(|_| result.clone()).collect()));
        let people = PROOFS.iter().flat_map(|proof| titles.iter().map(|title| pair(*proof, title)));
        Report { people: people.collect(), ..Report::default() }
    }

    // What was not run stays, and of what was nothing old.
    #[test]
    fn some_servers_of_several() {
        let page = report(&["a 1", "b 2"], &Err("no answer".into())).markdown("");
        assert_eq!(page.matches("**no**").count(), 2 * PROOFS.len() * ROWS.len());
        let page = report(&["b 2", "c 3"], &Ok(())).markdown(&page);
        assert!(page.contains("| what | a 1 | b 2 | c 3 |"), "{page}");
        for (cell, columns) in [("**no**", 1), (" ok ", 2)] {
            assert_eq!(page.matches(cell).count(), columns * PROOFS.len() * ROWS.len(), "{page}");
        }
        assert!(
            page.contains("- a 1, dialback: chat to ours: no answer") && !page.contains("- b 2"),
            "{page}"
        );
    }
}
