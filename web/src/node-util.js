"use strict";

// The two functions that a library of the interface (counterpart) takes from Node's `util`.

exports.isArray = Array.isArray;
exports.isDate = (value) => value instanceof Date;
