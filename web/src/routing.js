/** The screen named after the `#/` of the address, with its parameters. */
export function currentScreen() {
    const fragment = window.location.hash.replace(/^#\/?/, "");
    const [screen, query = ""] = fragment.split("?");
    return { screen, params: Object.fromEntries(new URLSearchParams(query)) };
}

let own;

/** Show a screen's name in the address; `chat` gets the addresses that people type or go back to. */
export function follow(getChat) {
    window.addEventListener("hashchange", () => {
        if (window.location.hash === own) return;
        const { screen, params } = currentScreen();
        getChat()?.showScreen(screen, params);
    });
}

export function onNewScreen(screen, replace) {
    own = `#/${screen}`;
    if (replace) window.location.replace(own);
    else window.location.hash = own;
}
