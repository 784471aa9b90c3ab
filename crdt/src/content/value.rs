//! JSON values as Yjs stores them.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Number, Value};
use yrs::Any;

/// Beyond this JavaScript cannot tell whole numbers apart.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// A JSON value for Yjs. Whole numbers become numbers, never `BigInt`, as JavaScript would write them.
#[must_use]
pub fn to_any(value: &Value) -> Any {
    match value {
        Value::Null => Any::Null,
        Value::Bool(bool) => Any::Bool(*bool),
        Value::Number(number) => Any::Number(number.as_f64().unwrap_or(0.0)),
        Value::String(string) => Any::String(Arc::from(string.as_str())),
        Value::Array(values) => Any::Array(values.iter().map(to_any).collect()),
        Value::Object(fields) => Any::Map(Arc::new(
            fields
                .iter()
                .map(|(key, value)| (key.clone(), to_any(value)))
                .collect::<HashMap<_, _>>(),
        )),
    }
}

/// A Yjs value as JSON. What JSON cannot say (`undefined`, infinities) becomes null, bytes a list of numbers.
#[must_use]
pub fn from_any(any: &Any) -> Value {
    match any {
        Any::Null | Any::Undefined => Value::Null,
        Any::Bool(bool) => Value::Bool(*bool),
        Any::Number(number) => from_f64(*number),
        Any::BigInt(number) => Value::Number((*number).into()),
        Any::String(string) => Value::String(string.to_string()),
        Any::Buffer(bytes) => Value::Array(bytes.iter().map(|byte| Value::from(*byte)).collect()),
        Any::Array(values) => Value::Array(values.iter().map(from_any).collect()),
        Any::Map(fields) => {
            let mut object = Map::new();
            for (key, value) in fields.iter() {
                if !matches!(value, Any::Undefined) {
                    object.insert(key.clone(), from_any(value));
                }
            }
            Value::Object(object)
        }
    }
}

fn from_f64(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() <= MAX_SAFE_INTEGER {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 53 bits")]
        return Value::Number((number as i64).into());
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_survives() {
        let value = json!({"level": 2, "checked": true, "ratio": 0.5, "colwidth": [120, null], "far": -7, "name": "ü"});
        assert_eq!(from_any(&to_any(&value)), value);
    }

    #[test]
    fn what_json_cannot_say_is_null() {
        assert_eq!(from_any(&Any::Undefined), Value::Null);
        assert_eq!(from_any(&Any::Number(f64::NAN)), Value::Null);
        assert_eq!(from_any(&Any::BigInt(3)), json!(3));
    }
}
