//! JSON as Python writes it: numbers that are not finite are bare words there, which JSON does not have. diffusers leaves one
//! in the description of every DPM-Solver (`"lambda_min_clipped": -Infinity`).

/// Those words; the first that fits is taken.
const CONSTANTS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

/// The same text with each of those words as a JSON text, so that whoever needs a number there refuses it by its name.
pub(crate) fn with_constants_as_texts(json: Vec<u8>) -> Vec<u8> {
    let has = |word: &[u8]| json.windows(word.len()).any(|part| part == word);
    if !CONSTANTS[1..].iter().any(|word| has(word)) {
        return json;
    }
    let mut out = Vec::with_capacity(json.len());
    let (mut at, mut in_text) = (0, false);
    while at < json.len() {
        let rest = &json[at..];
        let word = CONSTANTS.iter().find(|word| rest.starts_with(word));
        match (in_text, word, rest[0]) {
            (false, Some(word), _) => {
                out.push(b'"');
                out.extend_from_slice(word);
                out.push(b'"');
                at += word.len();
                continue;
            }
            (true, _, b'\\') => {
                // Whatever follows is part of the text, a quotation mark too.
                out.push(b'\\');
                at += 1;
                out.extend(json.get(at));
            }
            (_, _, byte) => {
                in_text ^= byte == b'"';
                out.push(byte);
            }
        }
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// python3 -c "import json; print(json.dumps({'a': float('-inf'), 'b': [float('inf'), float('nan')], 'NaN\"': 'Infinity'}))"
    #[test]
    fn what_python_writes_becomes_json() {
        let written = br#"{"a": -Infinity, "b": [Infinity, NaN], "NaN\"": "Infinity"}"#;
        let read = with_constants_as_texts(written.to_vec());
        let read: serde_json::Value = serde_json::from_slice(&read).unwrap();
        let expected =
            serde_json::json!({"a": "-Infinity", "b": ["Infinity", "NaN"], "NaN\"": "Infinity"});
        assert_eq!(read, expected);
        for other in [
            &b"{\"a\": 1}"[..],
            b"",
            b"\"Infinity\"",
            b"\"NaN\\",
            b"NaN\\",
        ] {
            drop(with_constants_as_texts(other.to_vec()));
        }
        let plain = b"{\"a\": \"-Infinity\"}".to_vec();
        assert_eq!(with_constants_as_texts(plain.clone()), plain);
    }
}
