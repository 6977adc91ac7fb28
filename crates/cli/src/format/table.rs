//! Columns as Go's `text/tabwriter` aligns them for Docker: at least 10 wide, 3 spaces between.

const MIN_WIDTH: usize = 10;
const MIN_WIDTH_TOP: usize = 20;
const PADDING: usize = 3;
const PADDING_TOP: usize = 1;

/// Replaces the tabs of `text` by spaces. A column is a run of adjacent lines that have a cell followed by a tab at its
/// place; its width is that of its widest cell.
#[must_use]
pub fn align(text: &str) -> String {
    align_to(text, MIN_WIDTH, PADDING)
}

/// [`align`] with the wider columns that Docker gives `top`.
#[must_use]
pub fn align_wide(text: &str) -> String {
    align_to(text, MIN_WIDTH_TOP, PADDING_TOP)
}

fn align_to(text: &str, min_width: usize, padding: usize) -> String {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len()]).collect();
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        let mut at = 0;
        while at < lines.len() {
            let end = (at..lines.len()).find(|i| lines[*i].len() <= column + 1).unwrap_or(lines.len());
            let block = &lines[at..end];
            let widest = block.iter().map(|cells| cells[column].chars().count() + padding).max();
            for width in &mut widths[at..end] {
                width[column] = widest.unwrap_or(0).max(min_width);
            }
            at = end + 1;
        }
    }
    let mut aligned = String::with_capacity(text.len() * 2);
    for (cells, widths) in lines.iter().zip(&widths) {
        for (at, cell) in cells.iter().enumerate() {
            aligned.push_str(cell);
            if at + 1 < cells.len() {
                let gap = widths[at].saturating_sub(cell.chars().count());
                aligned.extend(std::iter::repeat_n(' ', gap));
            }
        }
        aligned.push('\n');
    }
    aligned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_end_where_a_line_is_short() {
        assert_eq!(align("a\tb\nlonger cell\tc\n"), "a             b\nlonger cell   c\n");
        assert_eq!(align("a\tb\nplain\nlonger cell\tc\n"), "a         b\nplain\nlonger cell   c\n");
        assert_eq!(align(""), "");
    }
}
