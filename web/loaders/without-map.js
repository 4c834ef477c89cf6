"use strict";

// Removes an inlined source map.
module.exports = function withoutMap(source) {
    return source.replace(/\n\/\/# sourceMappingURL=data:[^\n]*/g, "\n");
};
