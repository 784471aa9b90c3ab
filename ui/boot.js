// Starts the page: the editing surface, then the shell. Says in words what is missing when it cannot.

try {
  // Before anything is drawn, so that the page never flashes in the wrong colours.
  const theme = localStorage.getItem('inkling.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden; the system's theme will do.
}

const words = document.getElementById('boot-words');

function say(what, error) {
  document.getElementById('boot').dataset.failed = '';
  document.getElementById('boot').setAttribute('role', 'alert');
  words.textContent = what;
  console.error(error);
}

async function start() {
  if (typeof WebAssembly !== 'object') {
    say('This browser cannot run Inkling: it has no WebAssembly. A current Firefox, Chrome, Edge or Safari has it.');
    return;
  }
  let shell;
  try {
    // Both at once; the shell calls window.inkling, which the first of them makes.
    [, shell] = await Promise.all([import('./editor.js'), import('./shell.js')]);
  } catch (error) {
    say('A part of Inkling could not be loaded. Check the connection and reload the page.', error);
    return;
  }
  if (!window.inkling) {
    say('The editor could not be started. Reload the page; if that does not help, the installation is incomplete.');
    return;
  }
  try {
    await shell.default();
  } catch (error) {
    say('Inkling could not be started. Reload the page; if that does not help, try a current browser.', error);
    return;
  }
  document.getElementById('boot').remove();
}

await start();
