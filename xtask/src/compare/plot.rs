//! Plots of docs/performance.md: bars as SVG, which browsers and forges show.

use core::fmt::Write as _;

/// A group of bars, one for each server.
pub(crate) struct Group {
    pub(crate) name: String,
    /// Of each server; `None` if nothing was measured.
    pub(crate) values: Vec<Option<f64>>,
}

const WIDTH: f64 = 860.0;
/// Where bars begin; names stand to the left of that.
const LEFT: f64 = 300.0;
/// Where the longest one ends; figures stand to the right of that.
const RIGHT: f64 = 790.0;
const BAR: f64 = 14.0;
const GAP: f64 = 10.0;
const TOP: f64 = 64.0;
/// Told apart also by those who see no colours: one is dark, one is light.
const COLOURS: [&str; 4] = ["#1f4e79", "#e6a23c", "#6b8f71", "#9a9a9a"];

/// Groups of horizontal bars from 0; a line marks 1, where both are equal.
pub(crate) fn bars(title: &str, servers: &[String], groups: &[Group]) -> String {
    let most = groups.iter().flat_map(|group| group.values.iter().flatten()).copied().fold(1.0, f64::max);
    let x = |value: f64| LEFT + (RIGHT - LEFT) * value / most;
    let one = BAR * servers.len() as f64 + GAP;
    let bottom = TOP + one * groups.len() as f64;
    let height = bottom + 26.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n<title>{0}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"12\" y=\"22\" font-size=\"15\">{0}</text>\n",
        escaped(title)
    );
    let mut left = LEFT;
    for (server, colour) in servers.iter().zip(COLOURS.iter().cycle()) {
        let _ = writeln!(svg, "<rect x=\"{left}\" y=\"36\" width=\"12\" height=\"12\" fill=\"{colour}\"/>");
        let _ = writeln!(svg, "<text x=\"{}\" y=\"47\">{}</text>", left + 18.0, escaped(server));
        left += 40.0 + 7.0 * server.chars().count() as f64;
    }
    let step = step(most);
    for mark in (0..).map(|count| f64::from(count) * step).take_while(|mark| *mark <= most) {
        let x = x(mark);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#ddd\"/>\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#666\">{mark}</text>",
            bottom + 16.0
        );
    }
    for (place, group) in groups.iter().enumerate() {
        let top = TOP + GAP / 2.0 + one * place as f64;
        let middle = top + (one - GAP) / 2.0 + 4.0;
        let name = escaped(&group.name);
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{name}</text>", LEFT - 8.0);
        for (row, (value, colour)) in group.values.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let y = top + BAR * row as f64;
            let Some(value) = value else { continue };
            let end = x(*value);
            let _ = writeln!(
                svg,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"{}\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{value:.1}</text>",
                end - LEFT,
                BAR - 2.0,
                end + 5.0,
                y + BAR - 3.5
            );
        }
    }
    let x = x(1.0);
    let _ = writeln!(
        svg,
        "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#c00\"/>\
         <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#c00\">1</text>\n</svg>",
        bottom + 16.0
    );
    svg
}

/// From one line to the next: 1, 2 or 5 of some power of ten, so that there are no more than ten.
fn step(most: f64) -> f64 {
    let power = 10_f64.powf((most / 10.0).log10().ceil());
    [0.2, 0.5, 1.0].into_iter().map(|part| part * power).find(|step| most / step <= 10.0).unwrap_or(power)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_a_bar_as_long_as_it_is() {
        let servers = ["a < b".to_owned(), "c".to_owned()];
        let groups = [
            Group { name: "chat".into(), values: vec![Some(10.0), Some(5.0)] },
            Group { name: "logins".into(), values: vec![None, Some(0.5)] },
        ];
        let svg = bars("times", &servers, &groups);
        for part in ["width=\"490.0\"", "width=\"245.0\"", "width=\"24.5\"", "a &lt; b", ">logins</text>"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        // One for each value, one for each server, and the ground.
        assert_eq!(svg.matches("<rect").count(), 3 + 2 + 1);
        assert!(svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn lines_are_at_round_numbers() {
        for (most, wanted) in [(1.0, 0.1), (9.0, 1.0), (16.0, 2.0), (34.1, 5.0), (100.0, 10.0), (120.0, 20.0)]
        {
            assert!((step(most) - wanted).abs() < 1e-9, "{most}: {}", step(most));
        }
    }
}
