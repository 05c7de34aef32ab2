//! A [`Curve`] as an SVG of its own: no script, no font, no file besides it; light or dark as its reader is.

use std::fmt::Write;

use sts_eval::axis::Axis;

use super::Curve;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 440.0;
/// The drawn area: left, right, top, bottom.
const AREA: (f64, f64, f64, f64) = (80.0, 560.0, 56.0, 380.0);

const STYLE: &str = "
  svg { --paper: #ffffff; --ink: #1f2328; --faint: #d1d9e0; --line-0: #59636e; --line-1: #0969da; --line-2: #bc4c00 }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #0d1117; --ink: #f0f6fc; --faint: #3d444d; --line-0: #9198a1; --line-1: #4493f8; --line-2: #f0883e }
  }
  text { fill: var(--ink); font: 13px system-ui, sans-serif }
  .title { font-size: 15px; font-weight: 600 }
  .grid { stroke: var(--faint); stroke-width: 1 }
  .radius { stroke: var(--faint); stroke-width: 1.5; stroke-dasharray: 4 4 }
  polyline { fill: none; stroke-width: 2; stroke-linejoin: round }
";
const DASHES: [&str; 3] = ["none", "none", "7 4"];

/// The plot as text. `name` (of the model) is escaped.
pub fn svg(curve: &Curve, rho: f64, name: &str) -> String {
    let axes = Axes::new(curve);
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Loss along directions in weight space\">\n<style>{STYLE}</style>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"var(--paper)\"/>\n\
         <text class=\"title\" x=\"{}\" y=\"30\">Loss of {} along directions through its weights</text>\n",
        AREA.0,
        escaped(name),
    );
    axes.draw(&mut out, rho);
    axes.draw_lines(&mut out, curve);
    out.push_str("</svg>\n");
    out
}

struct Axes {
    /// The distance from the weights at either end.
    end: f64,
    loss: Axis,
}

impl Axes {
    fn new(curve: &Curve) -> Self {
        let drawn = || curve.lines.iter().flat_map(|line| &line.loss).copied().filter(|&loss| is_drawn(loss));
        let loss = Axis::over(drawn(), 5.0).or_else(|| Axis::over([0.0].into_iter(), 5.0));
        Axes {
            end: curve.t.last().copied().filter(|&t| t > 0.0).unwrap_or(1.0),
            loss: loss.expect("an axis over 0"),
        }
    }

    fn x(&self, t: f64) -> f64 {
        AREA.0 + (t / self.end + 1.0) / 2.0 * (AREA.1 - AREA.0)
    }

    fn y(&self, loss: f64) -> f64 {
        AREA.3 - self.loss.share(loss) * (AREA.3 - AREA.2)
    }

    fn draw(&self, out: &mut String, rho: f64) {
        let (left, right, top, bottom) = AREA;
        for &loss in &self.loss.ticks {
            let y = self.y(loss);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\n\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                left - 8.0,
                y + 4.0,
                self.loss.label(loss),
            );
        }
        for (t, label) in [(-2.0, "−2ρ"), (-1.0, "−ρ"), (0.0, "w"), (1.0, "ρ"), (2.0, "2ρ")] {
            let (x, class) = (self.x(t * rho), if t.abs() == 1.0 { "radius" } else { "grid" });
            let _ = write!(
                out,
                "<line class=\"{class}\" x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\n\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>\n",
                bottom + 20.0,
            );
        }
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">distance from the weights, ρ = {rho}</text>\n\
             <text transform=\"translate(20 {:.1}) rotate(-90)\" text-anchor=\"middle\">mean loss</text>\n",
            (left + right) / 2.0,
            bottom + 46.0,
            (top + bottom) / 2.0,
        );
    }

    fn draw_lines(&self, out: &mut String, curve: &Curve) {
        for (i, line) in curve.lines.iter().enumerate() {
            let points: Vec<String> = curve
                .t
                .iter()
                .zip(&line.loss)
                .filter(|(_, loss)| is_drawn(**loss))
                .map(|(&t, &loss)| format!("{:.1},{:.1}", self.x(t), self.y(loss)))
                .collect();
            let (style, dash) = (format!("stroke:var(--line-{})", i % 3), DASHES[i % 3]);
            let (x, y) = (AREA.1 + 16.0, AREA.2 + 16.0 + 24.0 * i as f64);
            let _ = write!(
                out,
                "<polyline style=\"{style}\" stroke-dasharray=\"{dash}\" points=\"{}\"/>\n\
                 <polyline style=\"{style}\" stroke-dasharray=\"{dash}\" points=\"{x},{y} {},{y}\"/>\n\
                 <text x=\"{}\" y=\"{}\">{}</text>\n",
                points.join(" "),
                x + 28.0,
                x + 36.0,
                y + 4.0,
                escaped(line.direction),
            );
        }
    }
}

/// Whether a loss has a place in the plot: one that ran away leaves no room to see the others.
fn is_drawn(loss: f64) -> bool {
    loss.abs() <= 1e9
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
