"use strict";

// Where the interface finds its list of translations.
module.exports = "/i18n/languages.json";
