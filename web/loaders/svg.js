"use strict";

// An imported SVG is its address (`default`) and a React component (`Icon`): the SDK uses both.

/** `stroke-width` is `strokeWidth` to React; `aria-` and `data-` stay. */
function property(name) {
    if (name === "class") return "className";
    if (/^(aria|data)-/.test(name)) return name;
    return name.replace(/[-:](\w)/g, (_, letter) => letter.toUpperCase());
}

module.exports = function svg(source) {
    const match = /<svg\b([^>]*)>([\s\S]*)<\/svg>/.exec(source);
    const attributes = {};
    for (const [, name, value] of (match?.[1] ?? "").matchAll(/([\w:-]+)\s*=\s*"([^"]*)"/g)) {
        if (name !== "style") attributes[property(name)] = value;
    }
    const address = `data:image/svg+xml;base64,${Buffer.from(source).toString("base64")}`;
    return `
import React from "react";
export default ${JSON.stringify(address)};
const attributes = ${JSON.stringify(attributes)};
const inner = { __html: ${JSON.stringify(match?.[2] ?? "")} };
export const Icon = React.forwardRef((props, ref) =>
    React.createElement("svg", { ...attributes, ...props, ref, dangerouslySetInnerHTML: inner }));
`;
};
