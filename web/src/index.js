import "matrix-js-sdk/src/browser-index";
import SdkConfig from "matrix-react-sdk/lib/SdkConfig";

// The interface reads its configuration while it is being imported, so that comes first.
async function main() {
    const response = await fetch("/config.json", { cache: "no-store" });
    if (!response.ok) throw new Error(`config.json: ${response.status}`);
    SdkConfig.put(await response.json());
    const { start } = await import("./app");
    await start();
}

main().catch((error) => {
    console.error(error);
    document.getElementById("matrixchat").textContent = `The client could not start: ${error.message}`;
});
