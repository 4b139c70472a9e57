//! Plots of tables as SVG that read well on light and on dark pages, with their numbers in words for who does
//! not see them.

use std::io;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::{Row, Unit};

const WIDTH: u32 = 820;
const INK: RGBColor = RGBColor(31, 35, 40);
const FAINT: RGBColor = RGBColor(208, 215, 222);
/// What most bars have, so that the one of interest stands out.
const PLAIN: RGBColor = RGBColor(140, 149, 159);
/// Muster first; each has its like for dark pages in [`STYLE`].
const SERIES: [RGBColor; 6] = [
    RGBColor(9, 105, 218),
    RGBColor(188, 76, 0),
    RGBColor(26, 127, 55),
    RGBColor(130, 80, 223),
    RGBColor(207, 34, 46),
    RGBColor(140, 149, 158),
];

/// Styles win over attributes: on a dark page each colour becomes its like. The background is the page's own.
const STYLE: &str = "<style>@media (prefers-color-scheme: dark){\
[fill=\"#1F2328\"]{fill:#e6edf3}[stroke=\"#1F2328\"]{stroke:#e6edf3}\
[fill=\"#D0D7DE\"]{fill:#3d444d}[stroke=\"#D0D7DE\"]{stroke:#3d444d}\
[fill=\"#8C959F\"]{fill:#7d8590}\
[fill=\"#0969DA\"]{fill:#58a6ff}[stroke=\"#0969DA\"]{stroke:#58a6ff}\
[fill=\"#BC4C00\"]{fill:#f0883e}[stroke=\"#BC4C00\"]{stroke:#f0883e}\
[fill=\"#1A7F37\"]{fill:#3fb950}[stroke=\"#1A7F37\"]{stroke:#3fb950}\
[fill=\"#8250DF\"]{fill:#bc8cff}[stroke=\"#8250DF\"]{stroke:#bc8cff}\
[fill=\"#CF222E\"]{fill:#ff7b72}[stroke=\"#CF222E\"]{stroke:#ff7b72}\
[fill=\"#8C959E\"]{fill:#7d8591}[stroke=\"#8C959E\"]{stroke:#7d8591}\
}</style>";

#[derive(Clone, Debug)]
enum Kind {
    Bars { figure: String },
    Lines { across: String, up: String, log: bool },
}

/// A plot of one table.
#[derive(Clone, Debug)]
pub struct Plot {
    table: String,
    title: String,
    kind: Kind,
}

impl Plot {
    /// A bar for each row that has the figure; rows whose label begins with `Muster` stand out. Shorter is
    /// better or longer is: the title says it.
    #[must_use]
    pub fn bars(table: &str, figure: &str, title: &str) -> Self {
        Self {
            table: table.to_owned(),
            title: title.to_owned(),
            kind: Kind::Bars {
                figure: figure.to_owned(),
            },
        }
    }

    /// A line for each [`Row::series`] of the table, from the figure `across` to the figure `up`; both axes
    /// logarithmic where `log`.
    #[must_use]
    pub fn lines(table: &str, across: &str, up: &str, title: &str, log: bool) -> Self {
        Self {
            table: table.to_owned(),
            title: title.to_owned(),
            kind: Kind::Lines {
                across: across.to_owned(),
                up: up.to_owned(),
                log,
            },
        }
    }

    /// The name of its file, after the benchmark's.
    pub(crate) fn file(&self) -> String {
        let figure = match &self.kind {
            Kind::Bars { figure } | Kind::Lines { up: figure, .. } => figure,
        };
        format!("{}-{}", self.table, figure)
            .to_lowercase()
            .replace(|c: char| !c.is_ascii_alphanumeric(), "-")
    }

    /// Draws it; None where no row has the figure.
    pub(crate) fn draw(&self, rows: &[Row]) -> io::Result<Option<String>> {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.table == self.table).collect();
        let drawn = match &self.kind {
            Kind::Bars { figure } => bars(&rows, figure, &self.title),
            Kind::Lines { across, up, log } => lines(&rows, (across, up), *log, &self.title),
        };
        Ok(drawn
            .map_err(io::Error::other)?
            .map(|(svg, said)| finish(&svg, &self.title, &said)))
    }
}

type Drawn = Result<Option<(String, String)>, Box<dyn std::error::Error + Send + Sync>>;

/// Puts the title, the numbers in words and the colours of dark pages into a drawing.
fn finish(svg: &str, title: &str, said: &str) -> String {
    let head = format!(
        "<title>{}</title><desc>{}</desc>{STYLE}",
        escape(title),
        escape(said)
    );
    let mut text = svg.replacen("<svg ", "<svg role=\"img\" ", 1);
    if let Some(at) = text
        .find("<svg")
        .and_then(|from| Some(from + text[from..].find('>')? + 1))
    {
        text.insert_str(at, &head);
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn words(size: u32, color: RGBColor, across: HPos) -> TextStyle<'static> {
    TextStyle {
        font: ("sans-serif", size).into_font(),
        color: color.to_backend_color(),
        pos: Pos::new(across, VPos::Center),
    }
}

fn bars(rows: &[&Row], figure: &str, title: &str) -> Drawn {
    const LEFT: i32 = 310;
    const ROW: i32 = 26;
    const TOP: i32 = 52;
    let shown: Vec<(&Row, f64, Unit)> = rows
        .iter()
        .filter_map(|row| row.get(figure).map(|found| (*row, found.median, found.unit)))
        .collect();
    let Some((_, _, unit)) = shown.first().copied() else {
        return Ok(None);
    };
    let most = shown
        .iter()
        .map(|(_, value, _)| *value)
        .fold(f64::MIN_POSITIVE, f64::max);
    let height = TOP + ROW * i32::try_from(shown.len())? + 12;
    let mut svg = String::new();
    let mut said = format!("{figure}: ");
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height.unsigned_abs())).into_drawing_area();
        area.draw_text(title, &words(21, INK, HPos::Left), (12, 18))
            .map_err(fault)?;
        let what = [figure, unit.word()].join(", ");
        area.draw_text(
            what.trim_end_matches(", "),
            &words(16, PLAIN, HPos::Left),
            (12, 38),
        )
        .map_err(fault)?;
        for (number, (row, value, unit)) in (0..).zip(&shown) {
            let middle = TOP + ROW * number + ROW / 2;
            let ours = row.label.starts_with("Muster");
            let color = if ours { SERIES[0] } else { PLAIN };
            #[expect(clippy::cast_possible_truncation, reason = "a share of the width")]
            let length = (f64::from(WIDTH.cast_signed() - LEFT - 80) * value / most)
                .round()
                .max(1.0) as i32;
            area.draw_text(&row.label, &words(16, INK, HPos::Right), (LEFT - 8, middle))
                .map_err(fault)?;
            area.draw(&Rectangle::new(
                [(LEFT, middle - 8), (LEFT + length, middle + 8)],
                color.filled(),
            ))
            .map_err(fault)?;
            let number = unit.show(*value);
            area.draw_text(&number, &words(16, INK, HPos::Left), (LEFT + length + 6, middle))
                .map_err(fault)?;
            said.push_str(&format!("{} {number} {}; ", row.label, unit.word()));
        }
        area.present().map_err(fault)?;
    }
    Ok(Some((svg, said.trim_end_matches([';', ' ']).to_owned())))
}

/// A named line of points.
type Line = (String, Vec<(f64, f64)>);

fn lines(rows: &[&Row], (across, up): (&str, &str), log: bool, title: &str) -> Drawn {
    let mut all: Vec<Line> = Vec::new();
    let mut said = String::new();
    let mut unit = Unit::Count;
    for row in rows {
        let (Some(name), Some(x), Some(y)) = (&row.series, row.get(across), row.get(up)) else {
            continue;
        };
        unit = y.unit;
        said.push_str(&format!(
            "{name} at {}: {} {}; ",
            x.unit.show(x.median),
            y.unit.show(y.median),
            y.unit.word()
        ));
        let point = (x.median, y.median);
        match all.iter_mut().find(|(known, _)| known == name) {
            Some((_, points)) => points.push(point),
            None => all.push((name.clone(), vec![point])),
        }
    }
    if all.is_empty() {
        return Ok(None);
    }
    for (_, points) in &mut all {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    let up_words = [up, unit.word()].join(", ");
    let names = (across, up_words.trim_end_matches(", "));
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, 380)).into_drawing_area();
        area.draw_text(title, &words(21, INK, HPos::Left), (12, 18))
            .map_err(fault)?;
        draw_lines(&area.margin(36, 10, 8, 130), &all, names, unit, log)?;
        area.present().map_err(fault)?;
    }
    Ok(Some((svg, said.trim_end_matches([';', ' ']).to_owned())))
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

fn draw_lines(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    all: &[Line],
    (across, up): (&str, &str),
    unit: Unit,
    log: bool,
) -> Result<(), Fault> {
    let points = || all.iter().flat_map(|(_, points)| points);
    let span = |of: fn(&(f64, f64)) -> f64| {
        points()
            .map(of)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            })
    };
    let ((left, right), (bottom, top)) = (span(|point| point.0), span(|point| point.1));
    // Plotters makes another type of each kind of axis.
    macro_rules! chart {
        ($x:expr, $y:expr) => {{
            let mut chart = ChartBuilder::on(area)
                .x_label_area_size(40)
                .y_label_area_size(70)
                .build_cartesian_2d($x, $y)
                .map_err(fault)?;
            chart
                .configure_mesh()
                .light_line_style(TRANSPARENT)
                .bold_line_style(FAINT)
                .axis_style(FAINT)
                .label_style(words(15, INK, HPos::Center))
                .axis_desc_style(("sans-serif", 16).into_font().color(&INK))
                .x_desc(across)
                .y_desc(up)
                .x_label_formatter(&|value| Unit::Count.show(*value))
                .y_label_formatter(&|value| unit.show(*value))
                .draw()
                .map_err(fault)?;
            for ((name, points), color) in all.iter().zip(SERIES.iter().cycle()) {
                let line = LineSeries::new(points.iter().copied(), color.stroke_width(2));
                chart.draw_series(line).map_err(fault)?;
                let dots = points.iter().map(|point| Circle::new(*point, 3, color.filled()));
                chart.draw_series(dots).map_err(fault)?;
                if let Some(last) = points.last() {
                    let at = chart.backend_coord(last);
                    let place = area.get_base_pixel();
                    let at = (at.0 - place.0 + 8, at.1 - place.1);
                    area.draw_text(name, &words(16, *color, HPos::Left), at)
                        .map_err(fault)?;
                }
            }
        }};
    }
    if log {
        chart!(
            (left * 0.8..right * 1.25).log_scale(),
            (bottom * 0.7..top * 1.4).log_scale()
        );
    } else {
        chart!(0.0..right * 1.02, 0.0..top * 1.1);
    }
    Ok(())
}

fn fault(error: impl std::fmt::Display) -> Fault {
    error.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(label: &str, series: &str, x: f64, y: f64) -> Row {
        Row::new("t", label)
            .series(series)
            .figure("runs", Unit::Count, &[x])
            .figure("speed", Unit::PerSecond, &[y])
    }

    #[test]
    fn bars_have_their_labels_their_numbers_and_words_for_who_does_not_see_them() {
        let rows = [row("Muster", "", 1.0, 8000.0), row("a <b>", "", 1.0, 1234.0)];
        let plot = Plot::bars("t", "speed", "Speed & more");
        assert_eq!(plot.file(), "t-speed");
        let svg = plot.draw(&rows).expect("draws").expect("has rows");
        for part in [
            "role=\"img\"",
            "<title>Speed &amp; more</title>",
            "<desc>speed: Muster 8,000 a second; a &lt;b&gt; 1,234 a second</desc>",
            "prefers-color-scheme: dark",
            "1,234",
            "#0969DA",
            "#8C959F",
        ] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert!(
            Plot::bars("t", "other", "x")
                .draw(&rows)
                .expect("draws")
                .is_none()
        );
    }

    #[test]
    fn lines_are_drawn_on_both_kinds_of_axes() {
        let rows = [
            row("1", "Muster", 1000.0, 8000.0),
            row("2", "Muster", 10_000.0, 9000.0),
            row("3", "Celery", 1000.0, 600.0),
        ];
        for log in [true, false] {
            let plot = Plot::lines("t", "runs", "speed", "Speed", log);
            let svg = plot.draw(&rows).expect("draws").expect("has rows");
            assert!(svg.contains("<polyline") && svg.contains("Celery"), "{svg}");
            assert!(svg.contains("Muster at 10,000: 9,000 a second"), "{svg}");
        }
    }

    #[test]
    fn every_colour_has_its_like_for_dark_pages() {
        for RGBColor(red, green, blue) in SERIES.iter().chain([&INK, &FAINT, &PLAIN]) {
            let name = format!("[fill=\"#{red:02X}{green:02X}{blue:02X}\"]");
            assert!(STYLE.contains(&name), "{name}");
        }
    }
}
