"use strict";

// Element's interface (matrix-react-sdk) as one static site. Its package ships compiled files in lib/, so nothing is
// compiled here again: webpack only joins them, which keeps the build short.

const path = require("node:path");
const fs = require("node:fs");
const webpack = require("webpack");
const MiniCssExtractPlugin = require("mini-css-extract-plugin");

const sdk = path.dirname(require.resolve("matrix-react-sdk/package.json"));
const jsSdk = path.join(__dirname, "node_modules", "matrix-js-sdk");
const themes = ["light", "dark"];
const output = process.env.CHARTER_WEB_OUTPUT || path.join(__dirname, "dist");

/** `en_EN` is offered as `en`, `pt_BR` as `pt-br`. */
function languageCode(file) {
    const [language, region] = path.basename(file, ".json").split("_");
    const own = { en: "EN", de: "DE", he: undefined };
    return !region || own[language] === region ? language : `${language}-${region.toLowerCase()}`;
}

/** Writes what is no module: the page, the welcome page and the translations. */
class StaticFiles {
    apply(compiler) {
        compiler.hooks.thisCompilation.tap("StaticFiles", (compilation) => {
            const stage = webpack.Compilation.PROCESS_ASSETS_STAGE_ADDITIONAL;
            compilation.hooks.processAssets.tap({ name: "StaticFiles", stage }, () => {
                const emit = (name, text) => compilation.emitAsset(name, new webpack.sources.RawSource(text));
                for (const name of ["index.html", "welcome.html"]) {
                    emit(name, fs.readFileSync(path.join(__dirname, "src", name)));
                }
                const strings = path.join(sdk, "src", "i18n", "strings");
                const languages = {};
                for (const file of fs.readdirSync(strings).sort()) {
                    emit(`i18n/${file}`, fs.readFileSync(path.join(strings, file)));
                    languages[languageCode(file)] = file;
                }
                emit("i18n/languages.json", JSON.stringify(languages));
            });
        });
    }
}

const postcss = {
    loader: "postcss-loader",
    options: {
        postcssOptions: {
            parser: "postcss-scss",
            plugins: [
                require("postcss-import"),
                require("postcss-mixins"),
                require("postcss-simple-vars"),
                require("postcss-nested"),
                require("postcss-easings"),
                require("postcss-hexrgba"),
            ],
        },
    },
};

module.exports = {
    mode: "production",
    devtool: false,
    context: __dirname,
    entry: {
        bundle: "./src/index.js",
        ...Object.fromEntries(
            themes.map((name) => [`theme-${name}`, path.join(sdk, "res", "themes", name, "css", `${name}.pcss`)]),
        ),
    },
    output: {
        path: output,
        publicPath: "/",
        filename: "[name].js",
        chunkFilename: "chunks/[contenthash].js",
        assetModuleFilename: "assets/[name].[hash:8][ext]",
        clean: true,
    },
    // Served on the loopback interface: the build's time matters more than the bundle's size.
    optimization: { minimize: false },
    performance: false,
    // The SDK's optional parts warn of what they lack; errors are what counts.
    ignoreWarnings: [() => true],
    resolve: {
        alias: {
            "matrix-js-sdk/src": path.join(jsSdk, "lib"),
            "matrix-js-sdk$": path.join(jsSdk, "lib", "index.js"),
            "react": path.join(__dirname, "node_modules", "react"),
            "react-dom": path.join(__dirname, "node_modules", "react-dom"),
            // One multi-line value keeps the variable that the others have replaced.
            "$(res)": path.join(sdk, "res"),
            "util$": path.join(__dirname, "src", "node-util.js"),
            "$webapp/i18n/languages.json": path.join(__dirname, "src", "languages-url.js"),
        },
        // The workers' URLs still name their TypeScript sources.
        extensionAlias: { ".ts": [".js", ".ts"], ".tsx": [".js", ".tsx"] },
        fallback: Object.fromEntries(
            ["fs", "net", "tls", "crypto", "path", "stream", "assert", "http", "https"].map((name) => [name, false]),
        ),
    },
    module: {
        rules: [
            { test: /\.m?js$/, resolve: { fullySpecified: false } },
            // The compiled files carry their sources in a comment that is larger than they are.
            { test: /\.js$/, include: path.join(sdk, "lib"), use: path.join(__dirname, "loaders", "without-map.js") },
            { test: /useRoomCall\.js$/, include: path.join(sdk, "lib"), use: path.join(__dirname, "loaders", "people-only.js") },
            {
                test: /\.p?css$/,
                use: [MiniCssExtractPlugin.loader, { loader: "css-loader", options: { importLoaders: 1, import: false } }, postcss],
            },
            { test: /\.wasm$/, type: "asset/resource" },
            { test: /(decoderWorker|encoderWorker|waveWorker)\.min\.js$/, type: "asset/resource" },
            { test: /RecorderWorklet/, type: "asset/resource" },
            { test: /\.(woff2?|ttf|eot|gif|png|jpe?g|webp|ogg|mp3)$/, type: "asset/resource" },
            {
                test: /\.svg$/,
                oneOf: [
                    { issuer: /\.p?css$/, type: "asset/resource" },
                    { type: "javascript/auto", use: path.join(__dirname, "loaders", "svg.js") },
                ],
            },
        ],
    },
    plugins: [
        new MiniCssExtractPlugin({ filename: "[name].css" }),
        new webpack.DefinePlugin({ "global": "globalThis" }),
        new webpack.ProvidePlugin({ Buffer: ["buffer", "Buffer"], process: "process/browser" }),
        // The interface's libraries expect these two of Node in the browser.
        new webpack.ProvidePlugin({ Buffer: ["buffer/", "Buffer"], process: "process/browser.js" }),
        // A few compiled files ask for their neighbours in src/.
        new webpack.NormalModuleReplacementPlugin(/^\.\..*\/src\//, (resource) => {
            if (resource.context.startsWith(path.join(sdk, "lib"))) resource.request = resource.request.replace("/src/", "/lib/");
        }),
        new webpack.NormalModuleReplacementPlugin(/\/exportCustomCSS\.css$/, (resource) => {
            resource.request = `!!raw-loader!${path.join(sdk, "src/utils/exportUtils/exportCustomCSS.css")}`;
        }),
        new StaticFiles(),
        new webpack.ProgressPlugin((part, message) => process.stdout.write(`progress ${Math.round(part * 100)} ${message}\n`)),
    ],
};
