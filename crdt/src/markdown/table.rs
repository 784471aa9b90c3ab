//! Tables: the schema's, with cells over several columns and any blocks, and Markdown's, with neither.

use super::runs::{trim_end, trim_start};
use crate::node::{Mark, Node, push_inline};

/// More columns than anybody reads; a `colspan` from a hostile client is cut to it.
const MAX_COLUMNS: usize = 256;

/// A cell over one column and one row.
pub(super) fn cell(header: bool, mut blocks: Vec<Node>) -> Node {
    if blocks.is_empty() {
        blocks.push(Node::paragraph(""));
    }
    let kind = if header { "tableHeader" } else { "tableCell" };
    Node::element(kind, blocks)
        .with_attr("colspan", 1)
        .with_attr("rowspan", 1)
}

/// The table as Markdown can say it: one header row, all rows as long, cells that lie over several places followed by
/// empty ones. `None` if there is no cell. `blocks` are the normalised blocks of a cell.
pub(super) fn normalise(table: &Node, blocks: impl Fn(&[Node]) -> Vec<Node>) -> Option<Node> {
    let rows: Vec<&Node> = table
        .content
        .iter()
        .filter(|row| row.kind == "tableRow")
        .collect();
    let mut grid: Vec<Vec<Option<Vec<Node>>>> = rows.iter().map(|_| Vec::new()).collect();
    for (y, row) in rows.iter().enumerate() {
        let mut x = 0;
        for cell in &row.content {
            while grid
                .get(y)
                .and_then(|places| places.get(x))
                .is_some_and(Option::is_some)
            {
                x += 1;
            }
            let (columns, height) = (span(cell, "colspan"), span(cell, "rowspan"));
            let mut content = Some(flatten(&blocks(&cell.content)));
            for places in grid.iter_mut().skip(y).take(height) {
                for column in x..(x + columns).min(MAX_COLUMNS) {
                    if places.len() <= column {
                        places.resize(column + 1, None);
                    }
                    if let Some(place) = places.get_mut(column) {
                        *place = Some(content.take().unwrap_or_default());
                    }
                }
            }
            x += columns;
        }
    }
    let columns = grid.iter().map(Vec::len).max().filter(|columns| *columns > 0)?;
    let rows = grid.into_iter().enumerate().map(|(y, mut places)| {
        places.resize(columns, None);
        let cells = places
            .into_iter()
            .map(|place| cell(y == 0, place.unwrap_or_default()))
            .collect();
        Node::element("tableRow", cells)
    });
    Some(Node::element("table", rows.collect()))
}

fn span(cell: &Node, name: &str) -> usize {
    let span = cell
        .int_attr(name)
        .and_then(|span| usize::try_from(span).ok())
        .unwrap_or(1);
    span.clamp(1, MAX_COLUMNS)
}

/// A cell is one line of text and images: blocks become lines, joined by breaks.
fn flatten(blocks: &[Node]) -> Vec<Node> {
    let mut flat: Vec<Node> = Vec::new();
    for line in lines(blocks) {
        match flat.last_mut() {
            Some(last) if last.kind == "paragraph" && line.kind == "paragraph" => {
                last.content.push(Node::element("hardBreak", Vec::new()));
                for node in line.content {
                    push_inline(&mut last.content, node);
                }
            }
            _ => flat.push(line),
        }
    }
    // Beside an image neither space nor break can be told from the markup around it.
    let images: Vec<bool> = flat.iter().map(|line| line.kind == "image").collect();
    for (index, line) in flat.iter_mut().enumerate() {
        if index > 0 && images.get(index - 1) == Some(&true) {
            trim_start(&mut line.content);
        }
        if images.get(index + 1) == Some(&true) {
            trim_end(&mut line.content);
        }
    }
    flat.retain(|line| line.kind == "image" || !line.content.is_empty());
    flat
}

fn lines(blocks: &[Node]) -> Vec<Node> {
    let mut found = Vec::new();
    for block in blocks {
        match block.kind.as_str() {
            "image" => found.push(block.clone()),
            "paragraph" | "heading" => found.push(Node::element("paragraph", block.content.clone())),
            "codeBlock" => {
                let texts = block.content.iter().filter_map(|node| node.text.as_deref());
                let lines = texts
                    .flat_map(|text| text.split('\n'))
                    .filter(|line| !line.is_empty());
                let code = |line| Node::text(line, vec![Mark::new("code")]);
                found.extend(lines.map(|line| Node::element("paragraph", vec![code(line)])));
            }
            _ => found.extend(lines(&block.content)),
        }
    }
    found.retain(|line| line.kind == "image" || !line.content.is_empty());
    found
}
