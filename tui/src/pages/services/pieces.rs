//! What tables and texts of this page have in common.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::state::State;
use crate::text::{fit, right, width};

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) width: u16,
    /// Figures stand to the right.
    pub(super) right: bool,
    /// Where there is no room for all, those with less go first.
    pub(super) keep: u8,
}

pub(super) const fn column(title: &'static str, width: u16, keep: u8) -> Column {
    Column { title, width, right: false, keep }
}

pub(super) const fn figure(title: &'static str, width: u16, keep: u8) -> Column {
    Column { title, width, right: true, keep }
}

/// Where a column stands: x and width.
pub(super) type Stand = Option<(u16, u16)>;

/// How much wider than asked for the first column becomes: beyond that, the eye loses the row.
const SPARE: u16 = 48;

/// Where each column stands in that room; nothing for those that have no room. The first has its width at the least, and some
/// of what is left over.
pub(super) fn stands(all: &[Column], room: Rect) -> Vec<Stand> {
    let mut kept = vec![true; all.len()];
    let taken = |kept: &[bool]| -> u16 {
        all.iter().zip(kept).filter(|(_, kept)| **kept).map(|(column, _)| column.width + 1).sum()
    };
    while taken(&kept) > room.width + 1 {
        let candidates = all.iter().enumerate().skip(1).filter(|(at, _)| kept[*at]);
        match candidates.min_by_key(|(_, column)| column.keep) {
            Some((least, _)) => kept[least] = false,
            None => break,
        }
    }
    let spare = (room.width + 1).saturating_sub(taken(&kept)).min(SPARE);
    let mut x = room.x;
    let mut stands = Vec::with_capacity(all.len());
    for (at, (column, kept)) in all.iter().zip(kept).enumerate() {
        if !kept {
            stands.push(None);
            continue;
        }
        let wide = if at == 0 { (column.width + spare).min(room.width) } else { column.width };
        stands.push(Some((x, wide)));
        x = x.saturating_add(wide + 1);
    }
    stands
}

/// The headings.
pub(super) fn headings(state: &State, all: &[Column], stands: &[Stand], y: u16, canvas: &mut Buffer) {
    for (column, stand) in all.iter().zip(stands) {
        put(canvas, *stand, y, column.title, state.look().dim(), column.right);
    }
}

/// Writes a text into a column of a row.
pub(super) fn put(canvas: &mut Buffer, stand: Stand, y: u16, text: &str, style: Style, to_the_right: bool) {
    let Some((x, wide)) = stand else { return };
    let columns = usize::from(wide);
    let text = if to_the_right { right(text, columns) } else { fit(text, columns) };
    canvas.set_stringn(x, y, text, columns, style);
}

/// Writes a text of any length at a place, and answers where it ends.
pub(super) fn span(canvas: &mut Buffer, room: Rect, x: u16, text: &str, style: Style) -> u16 {
    let columns = usize::from(room.right().saturating_sub(x));
    if columns == 0 {
        return x;
    }
    let text = fit(text, columns);
    canvas.set_stringn(x, room.y, &text, columns, style);
    x + u16::try_from(width(&text)).unwrap_or(u16::MAX)
}

/// One row of a place, by its number; nothing below its end.
pub(super) fn row(place: Rect, line: usize) -> Option<Rect> {
    let y = u16::try_from(line).ok().and_then(|line| place.y.checked_add(line))?;
    (y < place.bottom()).then_some(Rect { y, height: 1, ..place })
}

/// What is below the first rows of a place.
pub(super) fn below(place: Rect, rows: u16) -> Rect {
    let rows = rows.min(place.height);
    Rect { y: place.y + rows, height: place.height - rows, ..place }
}

/// Milliseconds since 1970 of a timestamp as Marathon writes it.
pub(super) fn moment(timestamp: &str) -> Option<u64> {
    let timestamp: api::marathon::Timestamp = timestamp.parse().ok()?;
    u64::try_from(timestamp.as_millis()).ok()
}

/// Cores as people read them: `0.1`, `12`.
pub(super) fn cores(cpus: f64) -> String {
    let text = format!("{cpus:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_have_no_room_go_the_least_kept_first() {
        let all = [column("A", 10, 9), column("B", 5, 2), figure("C", 5, 1)];
        let room = |width| Rect::new(2, 0, width, 1);
        assert_eq!(stands(&all, room(30)), [Some((2, 18)), Some((21, 5)), Some((27, 5))]);
        assert_eq!(stands(&all, room(22)), [Some((2, 10)), Some((13, 5)), Some((19, 5))]);
        assert_eq!(stands(&all, room(21)), [Some((2, 15)), Some((18, 5)), None]);
        assert_eq!(stands(&all, room(12)), [Some((2, 12)), None, None]);
        assert_eq!(stands(&all, room(4)), [Some((2, 4)), None, None]);
    }

    #[test]
    fn figures_are_short() {
        assert_eq!([cores(0.1), cores(12.0), cores(2.25), cores(0.0)], ["0.1", "12", "2.25", "0"]);
        assert_eq!(moment("1970-01-01T00:00:01.500Z"), Some(1500));
        assert_eq!(moment("yesterday"), None);
    }
}
