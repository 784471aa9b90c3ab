// Shows the words that the desktop application puts into the address when it cannot start.

let words = '';
try {
  words = decodeURIComponent(location.hash.slice(1));
} catch {
  // Not ours: then there is nothing to show but the heading.
}
document.getElementById('problem').textContent = words || 'The program gave no reason; start it in a terminal to see more.';
