//! Drawing the screen. What it says is from `screen.rs`.

use super::screen::{Screen, lines, pause, slot_cells};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Row, Table, TableState};

pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen) {
    let head = head(screen);
    let height = u16::try_from(head.len()).unwrap_or(u16::MAX);
    let parts = [
        Constraint::Length(height),
        Constraint::Min(3),
        Constraint::Length(1),
    ];
    let [above, middle, below] = Layout::vertical(parts).areas(frame.area());
    frame.render_widget(Paragraph::new(head), above);
    slots(frame, screen, middle);
    frame.render_widget(Paragraph::new(foot(screen)), below);
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn loud() -> Style {
    Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD)
}

fn head(screen: &Screen) -> Vec<Line<'static>> {
    let view = &screen.view;
    let mut all: Vec<Line<'static>> = lines(view)
        .into_iter()
        .map(|(name, text)| Line::from(vec![Span::styled(format!("{name:<8}"), bold()), Span::raw(text)]))
        .collect();
    let rates = &screen.rates;
    all.push(Line::from(vec![
        Span::styled("rates   ", bold()),
        Span::raw(format!(
            "{:.1} events/s, {:.1} jobs accepted/s, {:.1} jobs ended/s, {:.1} messages published/s",
            rates.events, rates.jobs_accepted, rates.jobs_ended, rates.published
        )),
    ]));
    all.extend(pause(view).map(|text| Line::styled(text, loud())));
    let failed = screen.failure.as_ref();
    all.extend(failed.map(|why| Line::styled(format!("as of {}: {why}", view.at), loud())));
    all
}

fn slots(frame: &mut Frame<'_>, screen: &Screen, area: ratatui::layout::Rect) {
    let shown = screen.slots();
    let title = format!("slots: {}, by {}", screen.filter.word(), screen.order.word());
    let rows = shown.iter().map(|slot| Row::new(slot_cells(&screen.view, slot)));
    let widths = [
        Constraint::Length(5),
        Constraint::Min(46),
        Constraint::Length(24),
        Constraint::Length(10),
        Constraint::Length(14),
    ];
    let table = Table::new(rows, widths)
        .header(Row::new(["SLOT", "HELD BY", "HOST", "FOR", "AT"]).style(bold()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(Block::new().borders(Borders::TOP).title(title));
    let mut state = TableState::default().with_selected((!shown.is_empty()).then_some(screen.chosen));
    frame.render_stateful_widget(table, area, &mut state);
}

fn foot(screen: &Screen) -> Line<'static> {
    let at = screen.view.at;
    Line::raw(format!("q leave   p order   f filter   up/down choose   {at}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::screen::tests::status;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn drawn(screen: &Screen, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, screen)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn everything_is_on_the_screen() {
        let mut screen = Screen::new(status(0, 100));
        screen.show(status(4, 110));
        screen.fail("cannot reach it".into());
        screen.show(status(8, 120));
        let text = drawn(&screen, 140, 24);
        for part in [
            "PAUSED by",
            "2.5 events/s",
            "38 of 40 attached",
            "step 2",
            "free",
            "slots: all, by number",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        screen.fail("cannot reach it".into());
        assert!(drawn(&screen, 140, 24).contains("cannot reach it"));
    }

    #[test]
    fn a_terminal_that_is_far_too_small_is_no_reason_to_fail() {
        let screen = Screen::new(status(0, 0));
        for (width, height) in [(1, 1), (20, 3), (300, 2)] {
            assert!(!drawn(&screen, width, height).is_empty());
        }
    }
}
