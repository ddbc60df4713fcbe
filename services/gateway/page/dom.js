// Owns how elements are found and made.

export const at = (id) => document.getElementById(id);

export function build(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
