//! Parentheses and blocks.

use super::code::Code;
use super::fault::Fault;

pub(super) fn check(code: &Code<'_>, faults: &mut Vec<Fault>) {
    let fault = parentheses(code).or_else(|| brackets(code)).or_else(|| blocks(code).err());
    faults.extend(fault);
}

fn parentheses(code: &Code<'_>) -> Option<Fault> {
    for index in 0..code.len() {
        if code.is_symbol(index, ')') && code.open(index).is_none() {
            return Some(code.fault(index, "`)` without `(`", "delete it, or write the `(` before it"));
        }
    }
    let open = (0..code.len()).rev().find(|index| code.is_open(*index) && code.close(*index).is_none())?;
    Some(code.fault(open, "`(` is not closed", "write the `)`, or delete it"))
}

fn brackets(code: &Code<'_>) -> Option<Fault> {
    let alone = (0..code.len()).find(|index| code.is_symbol(*index, ']'))?;
    Some(code.fault(alone, "`]` without `[`", "delete it, or write the `[` before the name"))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Begin,
    Try,
    Catch,
    Case,
}

impl Block {
    const fn opening(self) -> &'static str {
        match self {
            Self::Begin => "BEGIN",
            Self::Try => "BEGIN TRY",
            Self::Catch => "BEGIN CATCH",
            Self::Case => "CASE",
        }
    }

    const fn closing(self) -> &'static str {
        match self {
            Self::Begin | Self::Case => "END",
            Self::Try => "END TRY",
            Self::Catch => "END CATCH",
        }
    }
}

/// <https://learn.microsoft.com/sql/t-sql/language-elements/begin-end-transact-sql>
fn blocks(code: &Code<'_>) -> Result<(), Fault> {
    let mut open: Vec<(Block, usize)> = Vec::new();
    for index in 0..code.len() {
        let is_part_of_name = code.is_symbol_before(index, '.');
        match code.word(index) {
            "BEGIN" if !is_transaction_or_dialog(code, index) => {
                let block = match code.word(index + 1) {
                    "TRY" => Block::Try,
                    "CATCH" => Block::Catch,
                    _ => Block::Begin,
                };
                open.push((block, index));
            }
            "CASE" if !is_part_of_name => open.push((Block::Case, index)),
            "END" if !is_part_of_name && !is_end_of_something_else(code, index) => {
                let Some((block, begun)) = open.pop() else {
                    let help = "delete it, or write the BEGIN or CASE before it";
                    return Err(code.fault(index, "`END` without `BEGIN` or `CASE`", help));
                };
                closes(code, block, begun, index)?;
            }
            _ => {}
        }
    }
    let Some((block, begun)) = open.pop() else { return Ok(()) };
    let message = format!("`{}` without its `{}`", block.opening(), block.closing());
    Err(code.fault(begun, message, format!("write the {}", block.closing())))
}

fn closes(code: &Code<'_>, block: Block, begun: usize, end: usize) -> Result<(), Fault> {
    let kind = match code.word(end + 1) {
        "TRY" => Some(Block::Try),
        "CATCH" => Some(Block::Catch),
        _ => None,
    };
    let is_guarded = matches!(block, Block::Try | Block::Catch);
    if (is_guarded || kind.is_some()) && kind != Some(block) {
        let (closing, line) = (kind.map_or("END", Block::closing), code.line(begun));
        let message = format!("`{closing}` closes the `{}` of line {line}", block.opening());
        return Err(code.fault(end, message, format!("write {} there", block.closing())));
    }
    let catch = if code.is_symbol(end + 2, ';') { end + 3 } else { end + 2 };
    if block == Block::Try && !code.are(catch, &["BEGIN", "CATCH"]) {
        return Err(code.fault(
            begun,
            "`BEGIN TRY` without `BEGIN CATCH`",
            "write the CATCH block behind END TRY",
        ));
    }
    Ok(())
}

fn is_transaction_or_dialog(code: &Code<'_>, begin: usize) -> bool {
    code.any(begin + 1, &["TRAN", "TRANSACTION", "DISTRIBUTED", "DIALOG", "CONVERSATION"])
}

/// `END CONVERSATION`, `GENERATED ALWAYS AS ROW END`, and names of columns in `PERIOD FOR SYSTEM_TIME (start, end)`.
fn is_end_of_something_else(code: &Code<'_>, end: usize) -> bool {
    code.word(end + 1) == "CONVERSATION"
        || ["ROW", "START", "TRANSACTION_ID", "SEQUENCE_NUMBER"].contains(&code.before(end))
        || code.is_symbol_before(end, '(')
        || code.is_symbol_before(end, ',')
}
